"""Runs as handlers see them, kept in memory while in progress, and rebuilt from the state."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from taskgen.errors import MessageError, TaskSetError, UnreadableError
from taskgen.event_columns import ProfileOfRun
from taskgen.event_type import one_text
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.run import Outcome, Run
from taskgen.state.state import JobState, RunRow, State, TaskSetRow
from taskgen.task import Job
from taskgen.taskset import Profile, TaskSet
from taskgen.untrusted_text import brief

OrderedMessage = EventsMessage | EndedMessage
"""A message with a place in its run's order."""

_FIRST: Final = -1
"""The place of a closing message: it is applied as soon as its run has started."""


class OutOfOrderMessages:
    """The ids of one run's messages that arrived before their turn, in order; the state has their bodies.

    Args:
        run_id: of the run.
        ids: of the messages that the state holds.
    """

    def __init__(self, run_id: str, ids: Iterable[str] = ()) -> None:
        self._run_id = run_id
        self._places = sorted((self._place(one), one) for one in ids)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, message_id: str) -> bool:
        """Add a message; returns False if it is there already."""
        place = self._place(message_id), message_id
        at = bisect_left(self._places, place)
        if self._places[at : at + 1] == [place]:
            return False
        self._places.insert(at, place)
        return True

    def due(self, next_seq: int) -> str | None:
        """The id of a message whose turn has come, given the number of the next event to handle."""
        return self._places[0][1] if self._places and self._places[0][0] <= next_seq else None

    def remove_due(self) -> None:
        """Remove the message that was due."""
        del self._places[0]

    def clear(self) -> None:
        """Remove all messages."""
        self._places.clear()

    def read(self, message_id: str, body: str | None) -> OrderedMessage:
        """Decode a stored message.

        Raises:
            UnreadableError: the body does not match the id.
        """
        try:
            message = read_message(body.encode() if isinstance(body, str) else b"")
        except MessageError as error:
            raise UnreadableError(f"message {message_id} cannot be decoded: {error}") from error
        if not isinstance(message, OrderedMessage) or (
            (message.message_id, message.run.run_id) != (message_id, self._run_id)
        ):
            raise UnreadableError(f"the body of message {message_id} is that of another message")
        return message

    def _place(self, message_id: str) -> int:
        """The number of a message's first event; an id without one fails when the message is read."""
        first_seq = message_id.removeprefix(f"{self._run_id}:").partition("-")[0]
        return int(first_seq) if re.fullmatch(r"[0-9]{1,16}", first_seq) else _FIRST


@dataclass(slots=True)
class StartedRun:
    """A run whose start has arrived."""

    row: RunRow
    taskset: TaskSet
    run: Run
    touched: set[str] = field(default_factory=set)
    """Ids of the tasks whose jobs may have changed since they were last written."""
    written: dict[str, int] = field(default_factory=dict)
    """How many jobs of each task are final and written."""

    def changed_jobs(self) -> Iterator[JobState]:
        """The jobs to write now; they count as written from here on."""
        if not self.touched:
            return
        run_id = self.row.run_id
        for task in self.taskset:
            name = str(task.id)
            if name not in self.touched:
                continue
            first, task_id = self.written.get(name, 0), int(name)
            for number, job in enumerate(task.jobs[first:], first):
                yield JobState(run_id, task_id, number, job.start, job.end, job.exit_type)
            # A running job still changes, and a refused one is inserted before it.
            is_running = bool(task.jobs) and task.jobs[-1].is_running
            self.written[name] = len(task.jobs) - is_running
        self.row.done_tasks = json.dumps([task.id for task in self.taskset if task.is_done])
        self.touched.clear()

    def close(self) -> None:
        """Copy the end from the row to the run that handlers see."""
        row = self.row
        self.run.outcome = Outcome(row.outcome) if row.outcome else None
        self.run.reason, self.run.ended_at, self.run.events = row.reason, row.ended_at, row.events or 0


@dataclass(slots=True)
class TrackedRun:
    """A run that is not closed."""

    run_id: str
    out_of_order: OutOfOrderMessages
    started: StartedRun | None = None
    """None until the start arrives."""

    def is_due(self, message: OrderedMessage) -> bool:
        """Whether a message can be applied now; the closing message does not wait for the last events."""
        if self.started is None:
            return False
        return isinstance(message, EndedMessage) or message.first_seq <= self.started.row.next_seq


class TrackedRuns:
    """The runs and task-sets in memory; missing ones are read from the state, whose errors are raised."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.runs: dict[str, TrackedRun | None] = {}
        """By run id; None: closed, so further messages are duplicates."""
        self.tasksets: dict[str, TaskSetRow | None] = {}
        """By task-set id; None: unknown."""

    def run(self, run_id: str) -> TrackedRun | None:
        """A run, whether it has started or not; None if it is closed.

        Raises:
            UnreadableError: its state is invalid.
        """
        if run_id not in self.runs:
            self.runs[run_id] = self._read(run_id)
        return self.runs[run_id]

    def taskset(self, taskset_id: str) -> TaskSetRow | None:
        """A task-set, if it is known."""
        if taskset_id not in self.tasksets:
            self.tasksets[taskset_id] = self._state.taskset(taskset_id)
        return self.tasksets[taskset_id]

    def release(self) -> None:
        """Release closed runs, and task-sets without an open run."""
        self.runs = {
            run_id: run for run_id, run in self.runs.items() if run and (run.started or run.out_of_order)
        }
        needed = {run.started.row.taskset_id for run in self.runs.values() if run and run.started}
        self.tasksets = {taskset_id: row for taskset_id, row in self.tasksets.items() if taskset_id in needed}

    def clear(self) -> None:
        """Release everything: the state has it."""
        self.runs.clear()
        self.tasksets.clear()

    def _read(self, run_id: str) -> TrackedRun | None:
        row = self._state.run(run_id)
        if row is not None and row.is_closed:
            return None
        run = TrackedRun(run_id, OutOfOrderMessages(run_id, self._state.out_of_order_ids(run_id)))
        if row is not None:
            if (taskset := self.taskset(row.taskset_id)) is None:
                raise UnreadableError(f"task-set {row.taskset_id} is missing")
            run.started = rebuilt(row, taskset.message, self._state.jobs(run_id))
        return run


def new_run(message: StartedMessage, taskset: TaskSet) -> StartedRun:
    """A run that starts now."""
    run = taskset.run = message.full_run()
    return StartedRun(RunRow(**message.run.model_dump()), taskset, run)


def rebuilt(row: RunRow, message: str, jobs: Iterable[JobState]) -> StartedRun:
    """A run rebuilt from the state.

    Args:
        row: the run's.
        message: JSON of the task-set's message.
        jobs: ordered by task and number.

    Raises:
        UnreadableError: one of these is invalid.
    """
    try:
        submitted = TaskSetMessage.model_validate_json(message)
        taskset = submitted.taskset()
        head = RunHead.model_validate(row, from_attributes=True)
        run = taskset.run = StartedMessage.model_construct(run=head, taskset=submitted).full_run()
        started = StartedRun(row, taskset, run)
        _restore_jobs(started, jobs)
    except (ValueError, TypeError, TaskSetError) as error:
        raise UnreadableError(str(error)) from error
    return started


def _restore_jobs(started: StartedRun, rows: Iterable[JobState]) -> None:
    done = set(json.loads(started.row.done_tasks))
    jobs = {
        task_id: [Job(row.start_ms, row.end_ms, row.exit_type and one_text(row.exit_type)) for row in group]
        for task_id, group in groupby(rows, key=lambda row: row.task_id)
    }
    for task in started.taskset:
        task.restore(jobs.get(int(str(task.id)), []), is_done=task.id in done)
        started.touched.add(str(task.id))
    for _ in started.changed_jobs():
        pass  # already written


def unseen(profile: ProfileOfRun, next_seq: int) -> Profile | None:
    """A profile without the events that were handled before; None if that leaves nothing."""
    seen = next_seq - profile.first_seq
    if seen <= 0:
        return profile.profile
    if seen >= len(profile.events):
        return None
    content = profile.profile["profile"]
    events = {**content["events"], "event": profile.events[seen:]}
    return {**profile.profile, "profile": {**content, "events": events}}


def taskset_of(message: StartedMessage) -> TaskSet:
    """The task-set of a run that starts.

    Raises:
        MessageError: no board can have started it.
    """
    try:
        return message.taskset.taskset()
    except TaskSetError as error:
        raise MessageError(brief(error)) from error
