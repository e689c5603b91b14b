"""A task as the simulated board understands it: numbers instead of the text of the task-set's XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any, Final

EDF_PRIORITY: Final = 128
_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """The parameters of docs/taskloader.md, section 2, with the same names; times in ms.

    Raises:
        ValueError: a number is negative, or the priority is over 128.
    """

    id: int
    pkg: str
    executiontime: int = 0
    criticaltime: int = 0
    priority: int = 127
    deadline: int = 0
    period: int = 0
    offset: int = 0
    numberofjobs: int = 1
    quota: int = 2**20
    """Bytes."""
    caps: int = 235
    cores: int = 1
    coreoffset: int = 0
    arg1: int = 0
    """`config.arg1`; 0 where there is none, or it is no number."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "pkg" and value < 0:
                raise ValueError(f"task {self.id}: {field.name}: negative: {value}")
        if self.priority > EDF_PRIORITY:
            raise ValueError(f"task {self.id}: priority: {self.priority} is over {EDF_PRIORITY}")

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> PeriodicTask:
        """Take one `periodictask`, a `taskgen.task.Task` or what xmltodict makes of the XML.

        Raises:
            ValueError: no `id` or `pkg`, or a parameter is not a number of its kind.
        """
        for name in ("id", "pkg"):
            if parameters.get(name) in (None, ""):
                raise ValueError(f"a task without {name}")
        given = {
            field.name: int(parameters[field.name])
            for field in fields(cls)
            if field.name not in ("pkg", "quota", "arg1") and parameters.get(field.name) not in (None, "")
        }
        quota = _bytes(str(parameters.get("quota") or "1M"))
        return cls(pkg=str(parameters["pkg"]), quota=quota, arg1=_arg1(parameters.get("config")), **given)

    def core_set(self, board_cores: int) -> tuple[int, ...]:
        """The cores it may use, counted on from the first one when the board has no more: never none."""
        count = min(max(self.cores, 1), board_cores)
        return tuple((self.coreoffset + number) % board_cores for number in range(count))

    @property
    def relative_deadline(self) -> int | None:
        """In ms: the deadline, else the period; None: there is no hurry."""
        return self.deadline or self.period or None


def set_up_in_turn(tasks: Iterable[PeriodicTask]) -> list[PeriodicTask]:
    """The tasks as a board has them that sleeps through one offset after the other: they add up."""
    return list(accumulate(tasks, lambda before, task: replace(task, offset=before.offset + task.offset)))


def _bytes(quota: str) -> int:
    found = re.fullmatch(r"([0-9]+)([KMG]?)", quota.strip())
    if not found:
        raise ValueError(f"quota: {quota!r} is no amount of memory")
    return int(found[1]) * _UNITS[found[2]]


def _arg1(config: Any) -> int:  # noqa: ANN401 - whatever stands in <config>
    value = config.get("arg1") if isinstance(config, Mapping) else None
    text = str(value).strip()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
