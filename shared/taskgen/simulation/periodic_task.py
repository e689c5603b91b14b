"""A task as the simulated board reads it from the task-set's XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any, Final
from xml.parsers.expat import ExpatError

import xmltodict

EDF_PRIORITY: Final = 128
_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """The parameters of docs/taskloader.md, section 2, with the same names; times in ms.

    Raises:
        ValueError: a number is negative, or the priority is greater than 128.
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
    """`config.arg1`; 0 if it is missing or not a number."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "pkg" and value < 0:
                raise ValueError(f"task {self.id}: {field.name}: negative: {value}")
        if self.priority > EDF_PRIORITY:
            raise ValueError(f"task {self.id}: priority: {self.priority} is over {EDF_PRIORITY}")

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> PeriodicTask:
        """Read a `taskgen.task.Task`, or one `periodictask` as xmltodict parses it.

        Raises:
            ValueError: `id` or `pkg` is missing, or a parameter is not a valid number.
        """
        for name in ("id", "pkg"):
            if parameters.get(name) in (None, ""):
                raise ValueError(f"a task has no {name}")
        given = {
            field.name: int(parameters[field.name])
            for field in fields(cls)
            if field.name not in ("pkg", "quota", "arg1") and parameters.get(field.name) not in (None, "")
        }
        quota = _bytes(str(parameters.get("quota") or "1M"))
        return cls(pkg=str(parameters["pkg"]), quota=quota, arg1=_arg1(parameters.get("config")), **given)

    def core_set(self, board_cores: int) -> tuple[int, ...]:
        """The cores it may use, at least one; after the board's last core they continue with its first."""
        count = min(max(self.cores, 1), board_cores)
        return tuple((self.coreoffset + number) % board_cores for number in range(count))

    @property
    def relative_deadline(self) -> int | None:
        """The deadline in ms, or else the period; None: no deadline."""
        return self.deadline or self.period or None


def read_tasks(document: bytes) -> list[PeriodicTask]:
    """Read the XML of a task-set.

    Raises:
        ValueError: it is not XML or not a task-set, or a parameter has a wrong value.
    """
    try:
        taskset = xmltodict.parse(document, force_list=("periodictask",)).get("taskset", "missing")
    except ExpatError as error:
        raise ValueError(f"not XML: {error}") from error
    if taskset is None:
        return []
    tasks: list[Any] = taskset.get("periodictask", []) if isinstance(taskset, dict) else [None]
    if not all(isinstance(task, dict) for task in tasks):
        raise ValueError("the root element is not a <taskset> of <periodictask>s")
    return [PeriodicTask.read(task) for task in tasks]


def with_successive_offsets(tasks: Iterable[PeriodicTask]) -> list[PeriodicTask]:
    """The tasks on a board that sleeps through one offset after the other, so that they add up."""
    return list(accumulate(tasks, lambda before, task: replace(task, offset=before.offset + task.offset)))


def _bytes(quota: str) -> int:
    found = re.fullmatch(r"([0-9]+)([KMG]?)", quota.strip())
    if not found:
        raise ValueError(f"quota: {quota!r} is not an amount of memory")
    return int(found[1]) * _UNITS[found[2]]


def _arg1(config: Any) -> int:  # noqa: ANN401 - whatever stands in <config>
    value = config.get("arg1") if isinstance(config, Mapping) else None
    text = str(value).strip()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
