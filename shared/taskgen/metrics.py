"""Computes jobs, response times, misses and jitter from a run's events; docs/time.md defines the terms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from taskgen.event_type import JOB_ENDS, EventType

_CLOCK_BITS: Final = (32, 64)
"""A board's clock is an unsigned long of its processor."""
_LONGEST_MS: Final = 2**31
"""A job that spans the end of the clock takes less than this: 24 days."""
_FAR_MS: Final = 2**31
"""From here on (24 days), the distance of two time stamps may be one across the end of the clock."""
_BROKEN_MS: Final = 2**40
"""A distance of 34 years indicates a broken clock."""
_KILLED_FOR_TIME: Final = frozenset({EventType.EXIT_CRITICAL, EventType.EXIT_PERIOD})


class JobRow(NamedTuple):
    """One job and its metrics. Unknown values are None, never guesses.

    Times are whole milliseconds, truncated by the board, so a difference of two is right to within 1 ms.
    """

    run_id: str
    """The run that it belongs to."""
    task_id: int
    """The task's `id`."""
    job: int
    """Number among the task's jobs, from 0."""
    release_ms: int | None
    """Time stamp of its START, on the board's clock; None if none was seen."""
    end_ms: int | None
    """Time stamp of the event that ended it, on the board's clock; None if none was seen."""
    exit_type: str | None
    """Type of the event that ended it; None if none was seen."""
    response_ms: int | None
    """From release to end. A lower bound if the job was killed; None if it was refused or cut off."""
    deadline_ms: int | None
    """Relative to the release: the task's `deadline`, or its `period` where that is 0; None if both are."""
    lateness_ms: int | None
    """Response time minus deadline: negative if the job was early."""
    tardiness_ms: int | None
    """Lateness, but 0 if the job was early."""
    is_miss: int | None
    """1 if it ended after its deadline, was killed for time, or refused; None if it was cut off; else 0."""
    is_cut_off: int
    """1 if the end of the run killed it (`EXIT_EXTERNAL`): neither hit nor miss."""
    skipped_releases_before: int | None
    """Number of ticks of the task's timer, since its previous release, that released nothing."""
    release_jitter_ms: int | None
    """Distance from the grid of periods that the task's first release sets; negative if it was early."""
    cpu_ms: int | None
    """CPU time, if the board reports it."""


TimedEvent = tuple[int, str, int, str | None]
"""An event's task id, type, time stamp and further attributes (JSON)."""


def elapsed_ms(start_ms: int, end_ms: int) -> int | None:
    """Return the time between two time stamps of a board; None if its clock was set back.

    A clock that wrapped (at 32 or 64 bits) counts as having continued.
    """
    if end_ms >= start_ms:
        return end_ms - start_ms
    bits = next(bits for bits in _CLOCK_BITS if start_ms < 1 << bits)
    wrapped = end_ms - start_ms + (1 << bits)
    return wrapped if wrapped < _LONGEST_MS else None


def distance_ms(from_ms: int, to_ms: int) -> int | None:
    """Return the distance between two time stamps of a board; None if one of them is implausible.

    Negative if it is earlier. A clock that reached its end between them counts as having gone on.
    """
    distance = to_ms - from_ms
    if abs(distance) < _FAR_MS:
        return distance
    for bits in _CLOCK_BITS:
        across = distance + (1 << bits) * (1 if distance < 0 else -1)
        if max(from_ms, to_ms) < 1 << bits and abs(across) < _FAR_MS:
            return across
    return distance if abs(distance) < _BROKEN_MS else None


def earliest_ms(times_ms: Sequence[int]) -> int | None:
    """Return the earliest of a run's time stamps, also if the clock reached its end between them."""
    return min(times_ms, key=lambda time: distance_ms(times_ms[0], time) or 0, default=None)


def job_rows(
    run_id: str, tasks: Iterable[Mapping[str, Any]], events: Iterable[TimedEvent]
) -> Iterator[JobRow]:
    """Pair a run's events into jobs, in the order of their ends; memory does not grow with their number.

    Args:
        run_id: of the run.
        tasks: the parameters of its tasks. Deadlines of a task that is not among them are unknown.
        events: ordered by `seq`.
    """
    pairing = JobPairing(run_id, tasks)
    for event in events:
        if (row := pairing.take(*event)) is not None:
            yield row
    yield from pairing.open_jobs()


class JobPairing:
    """Pairs the events of a run into jobs, one event at a time."""

    def __init__(self, run_id: str, tasks: Iterable[Mapping[str, Any]]) -> None:
        self._run_id = run_id
        self._tasks = {int(task["id"]): _TaskJobs(run_id, int(task["id"]), task) for task in tasks}

    def take(self, task_id: int, kind: str, time_stamp: int, attributes: str | None = None) -> JobRow | None:
        """Take the next event; returns the job that it ends, if any."""
        task = self._tasks.get(task_id)
        if task is None:
            task = self._tasks[task_id] = _TaskJobs(self._run_id, task_id, {})
        row = None
        if kind == EventType.START:
            if task.is_open:
                row = task.ended(None, None, None)
            task.started(time_stamp)
        elif kind in JOB_ENDS:
            row = task.ended(time_stamp, kind, attributes)
        elif kind == EventType.NOT_SCHEDULED:
            row = task.refused(time_stamp, kind)
        return row

    def open_jobs(self) -> Iterator[JobRow]:
        """The jobs whose end was not seen; call it after the last event."""
        return (task.ended(None, None, None) for task in self._tasks.values() if task.is_open)


class _TaskJobs:
    """The jobs of one task: which one is open, and where the next release is due."""

    __slots__ = (
        "_deadline_ms",
        "_first_ms",
        "_id",
        "_is_described",
        "_jitter_ms",
        "_jobs",
        "_period_ms",
        "_previous_ms",
        "_release_ms",
        "_run_id",
        "_skipped",
        "is_open",
    )

    def __init__(self, run_id: str, task_id: int, parameters: Mapping[str, Any]) -> None:
        self._run_id = run_id
        self._id = task_id
        self._is_described = bool(parameters)
        self._period_ms = int(parameters.get("period") or 0)
        self._deadline_ms = int(parameters.get("deadline") or 0) or self._period_ms or None
        self._jobs = 0
        self._first_ms: int | None = None
        self._previous_ms: int | None = None
        self.is_open = False
        self._release_ms: int | None = None
        self._skipped: int | None = None
        self._jitter_ms: int | None = None

    def started(self, time_stamp: int) -> None:
        """A release opens a job."""
        self._skipped, self._jitter_ms = self._placed(time_stamp)
        self._release_ms, self.is_open = time_stamp, True

    def refused(self, time_stamp: int, kind: str) -> JobRow:
        """A release was refused: a job of its own, although another may be open."""
        skipped, jitter_ms = self._placed(time_stamp)
        number, self._jobs = self._jobs, self._jobs + 1
        return JobRow(
            self._run_id, self._id, number, time_stamp, time_stamp, kind,
            None, self._deadline_ms, None, None, 1, 0, skipped, jitter_ms, None,
        )  # fmt: skip

    def ended(self, end_ms: int | None, kind: str | None, attributes: str | None) -> JobRow:
        """The open job has ended, or one whose release was not seen."""
        if not self.is_open:
            self._release_ms = self._skipped = self._jitter_ms = None
            self._previous_ms = None  # the next release cannot be counted from a release that was not seen
        self.is_open = False
        number, self._jobs = self._jobs, self._jobs + 1
        is_cut_off = kind == EventType.EXIT_EXTERNAL
        response_ms = lateness_ms = None
        if self._release_ms is not None and end_ms is not None and not is_cut_off:
            response_ms = elapsed_ms(self._release_ms, end_ms)
        if response_ms is not None and self._deadline_ms is not None:
            lateness_ms = response_ms - self._deadline_ms
        return JobRow(
            self._run_id, self._id, number, self._release_ms, end_ms, kind,
            response_ms, self._deadline_ms, lateness_ms, None if lateness_ms is None else max(0, lateness_ms),
            self._is_miss(kind, response_ms, lateness_ms), int(is_cut_off), self._skipped, self._jitter_ms,
            _cpu_ms(attributes, self._id) if attributes else None,
        )  # fmt: skip

    def _is_miss(self, kind: str | None, response_ms: int | None, lateness_ms: int | None) -> int | None:
        if kind in _KILLED_FOR_TIME:
            return 1
        if lateness_ms is not None:
            return int(lateness_ms > 0)
        has_no_deadline = self._is_described and self._deadline_ms is None
        return 0 if has_no_deadline and response_ms is not None else None

    def _placed(self, release_ms: int) -> tuple[int | None, int | None]:
        """The number of releases skipped before this one, and its distance from the grid."""
        if self._first_ms is None:
            self._first_ms = self._previous_ms = release_ms
            return 0, 0 if self._period_ms else None
        previous_ms, self._previous_ms = self._previous_ms, release_ms
        if not self._period_ms:
            return 0, None
        half_ms = self._period_ms // 2
        since_ms = None if previous_ms is None else elapsed_ms(previous_ms, release_ms)
        skipped = None if since_ms is None else max(0, (since_ms + half_ms) // self._period_ms - 1)
        since_first_ms = elapsed_ms(self._first_ms, release_ms)
        if since_first_ms is None:  # the board was rebooted: a new grid
            self._first_ms = release_ms
            return None, 0
        return skipped, (since_first_ms + half_ms) % self._period_ms - half_ms


def _cpu_ms(attributes: str, task_id: int) -> int | None:
    """The `execution-time` of the task's own `<task>` child of an event; only older boards send any."""
    try:
        more = json.loads(attributes)
    except (ValueError, RecursionError):  # changed by another program
        return None
    tasks = more.get("task", []) if isinstance(more, dict) else []
    for child in tasks if isinstance(tasks, list) else [tasks]:
        if isinstance(child, dict) and child.get("@id") == str(task_id):
            spent = str(child.get("@execution-time", ""))
            return int(spent) if re.fullmatch("[0-9]{1,15}", spent) else None
    return None


class RunMetrics:
    """The sums of a run's jobs, counted while they pass."""

    def __init__(self) -> None:
        self.jobs = 0
        """Number of jobs."""
        self.misses = 0
        """Number of jobs that missed their deadline; skipped releases are not among them."""
        self.skipped_releases = 0
        """Number of releases that had no job, because the previous job was still running."""
        self._cpu_ms: int | None = 0
        self._span: tuple[int, int] | None = None

    @property
    def utilization(self) -> float | None:
        """Time that the jobs had a core, over the time from the first release to the last end.

        None unless the board says the former of every job that ran.
        """
        if self._cpu_ms is None or self._span is None or self._span[0] >= self._span[1]:
            return None
        return self._cpu_ms / (self._span[1] - self._span[0])

    def counted(self, rows: Iterable[JobRow]) -> Iterator[JobRow]:
        """Pass on jobs, and count them."""
        for row in rows:
            self.add(row)
            yield row

    def add(self, row: JobRow) -> None:
        """Count a job."""
        self.jobs += 1
        self.misses += row.is_miss or 0
        self.skipped_releases += row.skipped_releases_before or 0
        if row.exit_type != EventType.NOT_SCHEDULED:
            self._use(row)

    def _use(self, row: JobRow) -> None:
        if self._cpu_ms is None or row.cpu_ms is None or row.release_ms is None or row.end_ms is None:
            self._cpu_ms = None
            return
        self._cpu_ms += row.cpu_ms
        first_ms, last_ms = self._span or (row.release_ms, row.end_ms)
        self._span = min(first_ms, row.release_ms), max(last_ms, row.end_ms)
