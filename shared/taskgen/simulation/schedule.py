"""The simulated schedule: a pure function from tasks and a seed to events with their times.

Preemptive and global: of the jobs released and not ended, the most urgent ones that can have cores at
the same time run. Fixed priorities come first, 0 before 127; below them all EDF tasks, by absolute
deadline (the release plus `deadline`, else plus `period`, else never). Among equals the earlier release
goes first, then the order in the task-set. Changing the core costs nothing.

At one instant, ends come before releases and releases before `START`s, so causes precede effects.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from taskgen.event_type import EventType
from taskgen.simulation.admission import admitted
from taskgen.simulation.periodic_task import EDF_PRIORITY, PeriodicTask
from taskgen.simulation.workload import work


class ScheduledEvent(NamedTuple):
    """One event; `time` is in ms since the task-set was started."""

    time: int
    type: EventType
    task_id: int


def schedule(
    tasks: Sequence[PeriodicTask], seed: int = 0, cores: int = 2, binaries: Container[str] = ()
) -> Iterator[ScheduledEvent]:
    """Yield the events of a task-set, in order of time, lazily: some task-sets never end.

    It ends when nothing more will happen; endless jobs may be running then. Whoever stops the task-set at
    some time finds the jobs to kill among the events so far: those with a START and no end.

    - `START`: the job has got a core for the first time.
    - `EXIT_CRITICAL`: `criticaltime` ms after its START, preemptions included, the job was not done.
    - `EXIT_PERIOD`: it was not done when the next period came, which is so for the last job too. A job
      that never got a core is reported with a START of the same time.
    - `NOT_SCHEDULED`: at each release of a task that `admission.admitted` refuses.
    - `JOBS_DONE`: at once after the last job's end.

    Args:
        tasks: with ids that differ.
        seed: varies run times, see `workload.work`.
        cores: how many the board has.
        binaries: names of those the board was sent, besides the known ones.
    """
    is_admitted = admitted(tasks, cores)
    lives = [
        _Life(task, number, is_admitted[number], task.core_set(cores)) for number, task in enumerate(tasks)
    ]
    time = 0
    while True:
        for life in lives:
            yield from life.end(time)
        for life in lives:
            yield from life.release(time, seed, binaries)
        running = _most_urgent(lives)
        for life, job in running:
            if job.start is None:
                job.start = time
                yield ScheduledEvent(time, EventType.START, life.task.id)
        moments = [moment for life in lives for moment in life.moments()]
        moments += [time + job.left for _, job in running if job.left is not None]
        if not moments:
            return
        for _, job in running:
            job.run(min(moments) - time)
        time = min(moments)


@dataclass(slots=True)
class _Job:
    release: int
    urgency: tuple[float, float, int, int]
    left: int | None
    """Time it still has to run; None: endless."""
    exit_type: EventType
    start: int | None = None

    def run(self, duration: int) -> None:
        if self.left is not None:
            self.left -= duration


class _Life:
    """A task as time goes by."""

    def __init__(self, task: PeriodicTask, number: int, is_admitted: bool, cores: tuple[int, ...]) -> None:
        self.task = task
        self.cores = cores
        self.job: _Job | None = None
        self._number = number
        self._is_admitted = is_admitted
        self._released = 0
        self._next_release: int | None = task.offset

    def end(self, time: int) -> Iterator[ScheduledEvent]:
        """End the job if it is done or is to be killed now."""
        exit_type = self._exit_type(time)
        if self.job is None or exit_type is None:
            return
        if self.job.start is None:
            yield ScheduledEvent(time, EventType.START, self.task.id)
        self.job = None
        yield from self._ended(time, exit_type)

    def release(self, time: int, seed: int, binaries: Container[str]) -> Iterator[ScheduledEvent]:
        """Release the next job if this is its time."""
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

    def moments(self) -> Iterator[int]:
        """The times at which something has to be done, except for the end of the job's work."""
        if self._next_release is not None:
            yield self._next_release
        if self.job is not None and self.task.period:
            yield self.job.release + self.task.period
        if self.job is not None and self.job.start is not None and self.task.criticaltime:
            yield self.job.start + self.task.criticaltime

    def _exit_type(self, time: int) -> EventType | None:
        """Why the job ends now; what is done in the last moment is done in time."""
        job, task = self.job, self.task
        if job is None:
            return None
        if job.left == 0:
            return job.exit_type
        if task.criticaltime and job.start is not None and time >= job.start + task.criticaltime:
            return EventType.EXIT_CRITICAL
        if task.period and time >= job.release + task.period:
            return EventType.EXIT_PERIOD
        return None

    def _ended(self, time: int, exit_type: EventType) -> Iterator[ScheduledEvent]:
        yield ScheduledEvent(time, exit_type, self.task.id)
        if self._next_release is None:
            yield ScheduledEvent(time, EventType.JOBS_DONE, self.task.id)

    def _urgency(self, release: int) -> tuple[float, float, int, int]:
        """The smaller the more urgent."""
        deadline = 0.0
        if self.task.priority == EDF_PRIORITY:
            relative = self.task.relative_deadline
            deadline = float("inf") if relative is None else release + relative
        return (self.task.priority, deadline, release, self._number)


def _most_urgent(lives: Sequence[_Life]) -> list[tuple[_Life, _Job]]:
    """The jobs that run, most urgent first: one gets a core if the more urgent ones can all keep one.

    They may have to move for it: these are the augmenting paths of bipartite matching (Kuhn 1955), here
    between jobs and cores.
    """
    holders: dict[int, _Life] = {}

    def find_core(life: _Life, tried: set[int]) -> bool:
        for core in life.cores:
            if core in tried:
                continue
            tried.add(core)
            if core not in holders or find_core(holders[core], tried):
                holders[core] = life
                return True
        return False

    ready = [(life, life.job) for life in lives if life.job is not None]
    ready.sort(key=lambda pair: pair[1].urgency)
    return [(life, job) for life, job in ready if find_core(life, set())]
