"""A task, its parameters and its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

from taskgen.boards.taskloader_protocol import NAME_BYTES
from taskgen.event_type import JOB_ENDS
from taskgen.metrics import elapsed_ms

_XML_NAME = re.compile(r"#text|@?[A-Za-z_][A-Za-z0-9_.-]*")
_XML_TEXT = re.compile(r"[\t\n\r\x20-\x7e]*")
_MAX_CONFIG_DEPTH = 16


def _binary_name(name: str) -> str:
    if len(name) >= NAME_BYTES:
        raise ValueError(f"a binary's name has at most {NAME_BYTES - 1} characters, {name!r} has {len(name)}")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name):
        raise ValueError(
            f"{name!r} is not a valid name of a binary (ASCII letters, digits, '_', '-', '.', '+')"
        )
    return name


def _no_truth(value: Any) -> Any:  # noqa: ANN401 - whatever a user wrote
    """Refuse JSON's true and false, which pydantic would accept as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("has to be a number")  # noqa: TRY004 - pydantic lets a TypeError through
    return value


def _amount(quota: str | int) -> str:
    if not re.fullmatch(r"[0-9]+[KMG]?", str(quota)):
        raise ValueError(
            f"{quota!r} is not an amount of memory; write a number, optionally with K, M or G, such as '1M'"
        )
    return str(quota)


def _config(value: Any, depth: int = 0, *, is_inside: bool = False) -> Any:  # noqa: ANN401 - for the binary
    """Accept what XML can represent: nested mappings of names to text, numbers or choices of them."""
    if depth > _MAX_CONFIG_DEPTH:
        raise ValueError(f"nested more than {_MAX_CONFIG_DEPTH} levels deep")
    if is_inside and isinstance(value, list | range | Iterator):
        raise ValueError("a choice inside a choice or a tuple; write all values into one list")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_element(name, inner)
        return {name: _config(inner, depth + 1, is_inside=is_inside) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_config(inner, depth + 1, is_inside=True) for inner in value])
    if isinstance(value, range | Iterator):
        return value
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str) and _XML_TEXT.fullmatch(value):
        return value
    raise ValueError(f"{value!r} is not ASCII text, a number or nested elements of them")


def _check_element(name: object, content: object) -> None:
    if not isinstance(name, str) or not _XML_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of an XML element")
    if name[0] in "@#" and isinstance(content, Mapping | tuple):
        raise ValueError(f"{name!r} is an attribute or text, which cannot contain elements")


_Number = Annotated[int, BeforeValidator(_no_truth)]
_Milliseconds = Annotated[_Number, Field(ge=0, le=2**32 - 1)]
_Count = Annotated[_Number, Field(ge=0, le=2**32 - 1)]

_PARAMETERS: Final[dict[str, tuple[Any, Any]]] = {
    # name: (default, type of a value)
    "id": (None, Annotated[_Number, Field(ge=0, le=2**31 - 1)]),
    "pkg": (None, Annotated[str, AfterValidator(_binary_name)]),
    "executiontime": (0, _Milliseconds),
    "criticaltime": (0, _Milliseconds),
    "priority": (127, Annotated[_Number, Field(ge=0, le=128)]),
    "deadline": (0, _Milliseconds),
    "period": (0, _Milliseconds),
    "offset": (0, _Milliseconds),
    "numberofjobs": (1, _Count),
    "quota": ("1M", Annotated[str | int, BeforeValidator(_no_truth), AfterValidator(_amount)]),
    "caps": (235, _Count),
    "config": ({}, Annotated[Any, AfterValidator(_config)]),
    "cores": (1, Annotated[_Number, Field(ge=1, le=1024)]),
    "coreoffset": (0, Annotated[_Number, Field(ge=0, le=1023)]),
}

DEFAULTS: Final[dict[str, Any]] = {name: default for name, (default, _) in _PARAMETERS.items()}
ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {
    name: TypeAdapter(kind) for name, (_, kind) in _PARAMETERS.items()
}
EDF_PRIORITY: Final = 128
"""A task with this priority is scheduled by its deadline; 0 (highest) to 127 are fixed priorities."""


@dataclass(slots=True)
class Job:
    """One execution of a task. Times are the board's clock, in ms since it booted; None: not seen."""

    start: int | None = None
    """Time stamp of its START, which is its release."""
    end: int | None = None
    """Time stamp of the event that ended it."""
    exit_type: str | None = None
    """Type of the event that ended it: one of `JOB_ENDS`, or NOT_SCHEDULED."""

    @property
    def is_running(self) -> bool:
        """Whether its end has not been seen yet."""
        return self.exit_type is None

    @property
    def response_ms(self) -> int | None:
        """Time from release to end, waiting and preemption included; None if either was not seen."""
        return None if self.start is None or self.end is None else elapsed_ms(self.start, self.end)


class Task(dict[str, Any]):
    """A task's parameters, as a dictionary, and its jobs.

    In `Task({"pkg": "hey"}, {"priority": 10}, period=100)`, later parameters take precedence over earlier
    ones. The others have these defaults:

    | name            | default | meaning                                                         |
    | --------------- | ------- | --------------------------------------------------------------- |
    | `id`            | `None`  | unique in the task-set; None: `TaskSet` assigns one             |
    | `pkg`           | `None`  | name of the binary, at most 15 ASCII characters; required       |
    | `executiontime` | `0`     | ms; worst case, used by the board's admission test              |
    | `criticaltime`  | `0`     | ms; a job that runs longer is killed; 0: never                  |
    | `priority`      | `127`   | 0 (highest) to 127 (lowest): fixed; 128: EDF by `deadline`      |
    | `deadline`      | `0`     | ms; relative to the release                                     |
    | `period`        | `0`     | ms between two releases; 0 (older boards only): a single job    |
    | `offset`        | `0`     | ms; delay of the first release                                  |
    | `numberofjobs`  | `1`     | jobs of a periodic task; 0 (older boards only): unlimited       |
    | `quota`         | `"1M"`  | RAM in bytes, optionally followed by K, M or G                  |
    | `caps`          | `235`   | Genode capabilities                                             |
    | `config`        | `{}`    | nested elements, passed to the binary                           |
    | `cores`         | `1`     | number of the board's cores to use ...                          |
    | `coreoffset`    | `0`     | ... and the first of them                                       |

    A list, range or generator as a value, also inside `config`, makes variants: see `TaskSet.variants`.
    A tuple inside `config` is one value: a repeated element.
    """

    jobs: list[Job]
    """The jobs seen so far, oldest first; filled by `DefaultEventHandler`."""

    def __init__(self, *parameters: Mapping[str, Any], **more: Any) -> None:
        super().__init__(DEFAULTS)
        for group in (*parameters, more):
            self.update(group)
        self.jobs = []
        self._ended = 0
        self._is_done = False

    @property
    def id(self) -> int | None:
        """The task's number in its task-set; None until it is in one."""
        identity: int | None = self["id"]
        return identity

    @id.setter
    def id(self, value: int) -> None:
        self["id"] = value

    @property
    def expected_jobs(self) -> int | None:
        """How many jobs the task will have; None: unlimited until `JOBS_DONE`."""
        if not int(self["period"]):
            return 1
        return int(self["numberofjobs"]) or None

    @property
    def ended_jobs(self) -> int:
        """How many jobs have ended; a refused release is not one."""
        return self._ended

    @property
    def is_terminated(self) -> bool:
        """Whether the task has no more jobs: `JOBS_DONE` was seen, or all of its jobs have ended."""
        expected = self.expected_jobs
        return self._is_done or (expected is not None and self._ended >= expected)

    @property
    def is_done(self) -> bool:
        """Whether `JOBS_DONE` was seen."""
        return self._is_done

    def restore(self, jobs: Iterable[Job], *, is_done: bool) -> None:
        """Restore the task's jobs, for example after a restart."""
        self.jobs = list(jobs)
        self._ended = sum(job.exit_type in JOB_ENDS for job in self.jobs)
        self._is_done = is_done

    def job_started(self, time_stamp: int) -> None:
        """Record a START; if a job is still running, its end was not seen."""
        self.jobs.append(Job(start=time_stamp))

    def job_ended(self, time_stamp: int, exit_type: str) -> None:
        """Record the end of a job; if its START was not seen, its start remains None."""
        if not self.jobs or not self.jobs[-1].is_running:
            self.jobs.append(Job())
        job = self.jobs[-1]
        job.end, job.exit_type = time_stamp, exit_type
        self._ended += 1

    def job_refused(self, time_stamp: int, exit_type: str) -> None:
        """Record a NOT_SCHEDULED as a job of its own, whose start and end are the same time.

        It does not count towards `numberofjobs`: every board that sends it says `JOBS_DONE`, too.
        """
        job = Job(time_stamp, time_stamp, exit_type)
        is_running = bool(self.jobs) and self.jobs[-1].is_running
        self.jobs.insert(len(self.jobs) - 1 if is_running else len(self.jobs), job)

    def jobs_done(self) -> None:
        """Record a JOBS_DONE: the task has no more jobs."""
        self._is_done = True
