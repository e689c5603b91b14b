"""The simulated schedule and its jobs: a pure function from tasks and a seed to events with their times.

The schedule is preemptive and global: of all pending jobs, the most urgent ones that can have cores at the
same time run. Fixed priorities come first, 0 before 127, then all EDF tasks by absolute deadline (the release
plus `deadline`, or else plus `period`, or else never). Ties are broken by the earlier release, then by the
order in the task-set. Migration between cores costs nothing.

At one instant, ends come before releases, so causes precede effects.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from taskgen.event_type import EventType
from taskgen.simulation.periodic_task import EDF_PRIORITY, PeriodicTask

MIN_QUOTA_BYTES: Final = 512 * 1024
MIN_CAPS: Final = 20
"""With fewer, a job cannot even open its log session."""

_ENDLESS: Final = frozenset({"idle", "namaste"})
_RUN_TIMES: Final = {
    # name: (ms at arg1 = 0, thousandths of a ms more for each 1 of arg1)
    "hey": (2, 0),
    "pi": (4, 100),
    "tumatmul": (5, 1000),
    "cond_42": (10, 500),
    "cond_mod": (10, 700),
    "linpack": (20, 2000),
}
_MEASURED: Final = {
    # name: arg1 and ms of the shortest and of the longest job that was measured on a real board
    "pi": ((2**13, 84), (2**21, 1_600)),
    "tumatmul": ((2**12, 104), (2**19, 2_700)),
    "cond_mod": ((3**25, 130), (3**25, 130)),
}
"""docs/taskloader.md, section 2. Between them, and beyond, a power law; a smaller `arg1` follows the line
above, up to the shortest time that was measured, so that demonstrations can have short jobs."""
_JITTERED: Final = ("cond_42", "cond_mod")
_JITTER_PERCENT: Final = 20
_FAILING_MS: Final = 1
"""When a job that cannot work fails."""

KNOWN_BINARIES: Final = _ENDLESS | frozenset(_RUN_TIMES)


class ScheduledEvent(NamedTuple):
    """One event; `time` is in ms since the start of the task-set."""

    time: int
    type: EventType
    task_id: int


def schedule(
    tasks: Sequence[PeriodicTask],
    seed: int = 0,
    cores: int = 2,
    binaries: Container[str] = (),
    *,
    has_admission_test: bool = True,
) -> Iterator[ScheduledEvent]:
    """Yield the events of a task-set in order of time, lazily, because some task-sets never end.

    The events end when nothing more will happen, though endless jobs may still be running. To stop a
    task-set, kill the jobs that have a START and no end among the events so far.

    - `START`: the job is released, whether it has a core or waits for one.
    - `EXIT_CRITICAL`: the job was not done `criticaltime` ms after its release.
    - `EXIT_PERIOD`: the job was not done at the next tick of its task's timer, which then releases nothing;
      this applies to the last job too.
    - `NOT_SCHEDULED`: at each release of a task that `admitted` refuses.
    - `JOBS_DONE`: immediately after the end of the last job.

    Args:
        tasks: with distinct ids.
        seed: varies run times, see `work`.
        cores: how many cores the board has.
        binaries: names of the binaries that were sent to the board; some are always known.
        has_admission_test: whether the board refuses tasks at all.
    """
    is_admitted = admitted(tasks, cores) if has_admission_test else [True] * len(tasks)
    states = [
        _TaskState(task, number, is_admitted[number], task.core_set(cores))
        for number, task in enumerate(tasks)
    ]
    time = 0
    while True:
        for state in states:
            yield from state.end(time)
        for state in states:
            yield from state.release(time, seed, binaries)
        running = _most_urgent(states)
        next_times = [moment for state in states for moment in state.next_times()]
        next_times += [time + job.left for _, job in running if job.left is not None]
        if not next_times:
            return
        for _, job in running:
            job.run(min(next_times) - time)
        time = min(next_times)


def admitted(tasks: Sequence[PeriodicTask], cores: int) -> list[bool]:
    """Return for each task, first come, first served, whether its jobs are scheduled.

    A task's utilisation is `executiontime / period`, spread evenly over the cores it may use, or 0 if either
    is missing. The task is refused if its utilisation exceeds 1, or if with it the load of its cores would
    exceed their number. The test is necessary, not sufficient: an admitted task can miss deadlines.
    """
    load = [Fraction(0)] * cores
    return [_is_admitted(task, load) for task in tasks]


def _is_admitted(task: PeriodicTask, load: list[Fraction]) -> bool:
    utilisation = Fraction(task.executiontime, task.period) if task.period else Fraction(0)
    own = task.core_set(len(load))
    if utilisation > 1 or (utilisation and sum(load[core] for core in own) + utilisation > len(own)):
        return False
    for core in own:
        load[core] += utilisation / len(own)
    return True


class Work(NamedTuple):
    """The work of one job."""

    run_time_ms: int | None
    """Time on a core, at least 1; None: the job never ends by itself."""
    exit_type: EventType


def work(task: PeriodicTask, job: int, seed: int, binaries: Container[str]) -> Work:
    """Return the work of a task's job (counted from 0); `binaries` are those that were sent to the board.

    The run times of `cond_42` and `cond_mod` vary by up to 20 % from job to job, depending on `seed`.
    """
    if task.pkg not in KNOWN_BINARIES and task.pkg not in binaries:
        return Work(_FAILING_MS, EventType.EXIT_ERROR)
    if task.quota < MIN_QUOTA_BYTES:
        return Work(_FAILING_MS, EventType.OUT_OF_QUOTA)
    if task.caps < MIN_CAPS:
        return Work(_FAILING_MS, EventType.OUT_OF_CAPS)
    return Work(_run_time_ms(task, job, seed), EventType.EXIT)


def _run_time_ms(task: PeriodicTask, job: int, seed: int) -> int | None:
    if task.pkg in _ENDLESS:
        return None
    if task.pkg not in _RUN_TIMES:
        return task.executiontime or _RUN_TIMES["hey"][0]
    shortest, growth = _RUN_TIMES[task.pkg]
    run_time = shortest + task.arg1 * growth // 1000
    if task.pkg in _MEASURED:
        run_time = _measured_ms(task, run_time)
    if task.pkg in _JITTERED:
        variation = zlib.crc32(f"{seed}/{task.id}/{job}".encode())
        run_time += variation % (run_time * _JITTER_PERCENT // 100 + 1)
    return run_time


def _measured_ms(task: PeriodicTask, short_ms: int) -> int:
    (first_arg, first_ms), (last_arg, last_ms) = _MEASURED[task.pkg]
    if task.arg1 < first_arg:
        return min(short_ms, first_ms)
    if first_arg == last_arg:
        return first_ms
    exponent: float = math.log(last_ms / first_ms) / math.log(last_arg / first_arg)
    return round(first_ms * math.pow(task.arg1 / first_arg, exponent))


@dataclass(slots=True)
class _Job:
    release: int
    urgency: tuple[float, float, int, int]
    left: int | None
    """Remaining time on a core; None: endless."""
    exit_type: EventType

    def run(self, duration: int) -> None:
        if self.left is not None:
            self.left -= duration


class _TaskState:
    """A task and its current job."""

    def __init__(self, task: PeriodicTask, number: int, is_admitted: bool, cores: tuple[int, ...]) -> None:
        self.task = task
        self.cores = cores
        self.job: _Job | None = None
        self._number = number
        self._is_admitted = is_admitted
        self._released = 0
        self._next_release: int | None = task.offset

    def end(self, time: int) -> Iterator[ScheduledEvent]:
        """End the job if it is done or has to be killed now."""
        exit_type = self._exit_type(time)
        if self.job is None or exit_type is None:
            return
        self.job = None
        if exit_type is EventType.EXIT_PERIOD and self._next_release == time:
            self._next_release += self.task.period
        yield from self._ended(time, exit_type)

    def release(self, time: int, seed: int, binaries: Container[str]) -> Iterator[ScheduledEvent]:
        """Release the next job if it is due."""
        if self._next_release != time:
            return
        task, number = self.task, self._released
        self._released += 1
        has_more = task.period and (not task.numberofjobs or self._released < task.numberofjobs)
        self._next_release = time + task.period if has_more else None
        if not self._is_admitted:
            yield from self._ended(time, EventType.NOT_SCHEDULED)
            return
        run_time, exit_type = work(task, number, seed, binaries)
        self.job = _Job(time, self._urgency(time), run_time, exit_type)
        yield ScheduledEvent(time, EventType.START, task.id)

    def next_times(self) -> Iterator[int]:
        """The times of the next release and of the job's limits; the end of its work is not included."""
        if self._next_release is not None:
            yield self._next_release
        if self.job is not None and self.task.period:
            yield self.job.release + self.task.period
        if self.job is not None and self.task.criticaltime:
            yield self.job.release + self.task.criticaltime

    def _exit_type(self, time: int) -> EventType | None:
        """Why the job ends now, if it does; a job that is done in the last moment is done in time."""
        job, task = self.job, self.task
        if job is None:
            return None
        if job.left == 0:
            return job.exit_type
        if task.criticaltime and time >= job.release + task.criticaltime:
            return EventType.EXIT_CRITICAL
        if task.period and time >= job.release + task.period:
            return EventType.EXIT_PERIOD
        return None

    def _ended(self, time: int, exit_type: EventType) -> Iterator[ScheduledEvent]:
        yield ScheduledEvent(time, exit_type, self.task.id)
        if self._next_release is None:
            yield ScheduledEvent(time, EventType.JOBS_DONE, self.task.id)

    def _urgency(self, release: int) -> tuple[float, float, int, int]:
        """A smaller value is more urgent."""
        deadline = 0.0
        if self.task.priority == EDF_PRIORITY:
            relative = self.task.relative_deadline
            deadline = float("inf") if relative is None else release + relative
        return (self.task.priority, deadline, release, self._number)


def _most_urgent(states: Sequence[_TaskState]) -> list[tuple[_TaskState, _Job]]:
    """The jobs that run, most urgent first: a job gets a core if all more urgent jobs can keep one.

    They may have to migrate for this, along the augmenting paths of bipartite matching (Kuhn 1955) between
    jobs and cores.
    """
    holders: dict[int, _TaskState] = {}

    def find_core(state: _TaskState, tried: set[int]) -> bool:
        for core in state.cores:
            if core in tried:
                continue
            tried.add(core)
            if core not in holders or find_core(holders[core], tried):
                holders[core] = state
                return True
        return False

    ready = [(state, state.job) for state in states if state.job is not None]
    ready.sort(key=lambda pair: pair[1].urgency)
    return [(state, job) for state, job in ready if find_core(state, set())]
