"""One run as a handler sees it: its task-set with the jobs, kept while the run is on and rebuilt after."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from taskgen.consumer.out_of_order import OutOfOrder, OutOfOrderMessages
from taskgen.errors import MessageError, TaskSetError, UnreadableError
from taskgen.event_columns import ProfileOfRun
from taskgen.event_type import one_text
from taskgen.messages.codec import (
    EndedMessage,
    QuarantinedMessage,
    RefusedMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome, Run
from taskgen.state.rows import JobRow, RunRow
from taskgen.task import Job
from taskgen.taskset import Profile, TaskSet
from taskgen.untrusted_text import brief

Taken = StartedMessage | OutOfOrder | QuarantinedMessage | RefusedMessage


@dataclass(slots=True)
class StartedRun:
    """What can only be known once the run's start came."""

    row: RunRow
    taskset: TaskSet
    run: Run
    touched: set[str] = field(default_factory=set)
    """Ids of the tasks whose jobs may have changed since they were kept."""
    kept: dict[str, int] = field(default_factory=dict)
    """How many jobs of a task can no longer change, and are kept."""

    def changed_jobs(self) -> Iterator[JobRow]:
        """The jobs that have to be kept now; notes them as kept."""
        if not self.touched:
            return
        for task in self.taskset:
            name = str(task.id)
            if name not in self.touched:
                continue
            first = self.kept.get(name, 0)
            for number, job in enumerate(task.jobs[first:], first):
                yield JobRow(self.row.run_id, int(name), number, job.start, job.end, job.exit_type)
            # A job that is running changes, and a refused one is put before it.
            is_running = bool(task.jobs) and task.jobs[-1].is_running
            self.kept[name] = len(task.jobs) - is_running
        self.row.done_tasks = json.dumps([task.id for task in self.taskset if task.is_done])
        self.touched.clear()

    def close(self) -> None:
        """Put the end into the run, as handlers are told it."""
        row = self.row
        self.run.outcome = Outcome(row.outcome) if row.outcome else None
        self.run.reason, self.run.ended_at, self.run.events = row.reason, row.ended_at, row.events or 0


@dataclass(slots=True)
class TrackedRun:
    """A run that is not closed."""

    run_id: str
    early: OutOfOrderMessages
    known: StartedRun | None = None

    def is_its_turn(self, message: OutOfOrder) -> bool:
        """Whether a message can be worked on: how a run ended matters before its last events are there."""
        if self.known is None:
            return False
        return isinstance(message, EndedMessage) or message.first_seq <= self.known.row.next_seq


def begun(head: RunHead, message: TaskSetMessage) -> StartedRun:
    """A run from its start."""
    row = RunRow(
        run_id=head.run_id,
        taskset_id=head.taskset_id,
        campaign_id=head.campaign_id,
        board=head.board,
        distributor=head.distributor,
        attempt=head.attempt,
        variant=head.variant,
        started_at=head.started_at,
    )
    return _known(row, message.taskset())


def rebuilt(row: RunRow, message: str, jobs: Iterable[JobRow]) -> StartedRun:
    """A run from what was kept of it.

    Args:
        row: of the run.
        message: JSON of its task-set's message.
        jobs: ordered by task and number.

    Raises:
        UnreadableError: it cannot be understood.
    """
    try:
        known = _known(row, TaskSetMessage.model_validate_json(message).taskset())
        _restore(known, jobs)
    except (ValueError, TypeError, TaskSetError) as error:
        raise UnreadableError(str(error)) from error
    return known


def _known(row: RunRow, taskset: TaskSet) -> StartedRun:
    run = Run(
        row.board,
        run_id=row.run_id,
        taskset_id=row.taskset_id,
        attempt=row.attempt,
        variant=row.variant,
        started_at=row.started_at,
    )
    taskset.run = run
    return StartedRun(row, taskset, run)


def _restore(known: StartedRun, rows: Iterable[JobRow]) -> None:
    done = set(json.loads(known.row.done_tasks))
    jobs = {
        task_id: [Job(row.start_ms, row.end_ms, row.exit_type and one_text(row.exit_type)) for row in group]
        for task_id, group in groupby(rows, key=lambda row: row.task_id)
    }
    for task in known.taskset:
        task.restore(jobs.get(int(str(task.id)), []), is_done=task.id in done)
        known.touched.add(str(task.id))
    for _ in known.changed_jobs():
        pass  # they are kept already


def not_yet_seen(profile: ProfileOfRun, next_seq: int) -> Profile | None:
    """A profile without the events that came before; None if that leaves nothing."""
    seen = next_seq - profile.first_seq
    if seen <= 0:
        return profile.profile
    if seen >= len(profile.events):
        return None
    content = profile.profile["profile"]
    events = {**content["events"], "event": profile.events[seen:]}
    return {**profile.profile, "profile": {**content, "events": events}}


def check(message: Taken) -> None:
    """Find what could not be worked on later.

    Raises:
        MessageError: it is to be parked.
    """
    if isinstance(message, StartedMessage):
        try:
            message.taskset.taskset()
        except TaskSetError as error:
            raise MessageError(brief(error)) from error
