"""The simulated board's admission test: whether a task's declared load still fits on its cores."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from taskgen.simulation.periodic_task import PeriodicTask


def admitted(tasks: Sequence[PeriodicTask], cores: int) -> list[bool]:
    """For each task, first come first served, whether its jobs are scheduled or refused.

    A task's utilisation is `executiontime / period`, spread evenly over the cores it may use; one without
    either counts nothing. It is refused if more than 1, or if its cores' load with it would be more than
    their number. This is a necessary condition, not a sufficient one: an admitted task can miss deadlines.
    """
    load = [Fraction(0)] * cores
    return [_takes_place(task, load) for task in tasks]


def _takes_place(task: PeriodicTask, load: list[Fraction]) -> bool:
    utilisation = Fraction(task.executiontime, task.period) if task.period else Fraction(0)
    own = task.core_set(len(load))
    if utilisation > 1 or (utilisation and sum(load[core] for core in own) + utilisation > len(own)):
        return False
    for core in own:
        load[core] += utilisation / len(own)
    return True
