"""A distributor's handler as its thread calls it, and what a reader of its outbox hears of the runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.distributor.outbox import Outbox
from services.distributor.publishing_handler import PublishingHandler
from taskgen.deadline import Deadline
from taskgen.errors import StoreUnavailableError
from taskgen.execution.handler_chain import HandlerChain
from taskgen.messages.codec import EndedMessage, EventsMessage, StartedMessage, TaskSetMessage, read_message
from taskgen.run import Outcome, Run, now
from taskgen.runtime.health import Health
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import event, profile_of

ROOM: Final = 10_000
"""Bytes of the outbox: a few messages."""
LARGE: Final = 100
"""Events of a profile: a few profiles fill the outbox."""


@dataclass
class PublishedRun:
    """What a reader of the outbox hears of one run."""

    has_started: bool = False
    seqs: list[int] = field(default_factory=list)
    ends: list[EndedMessage] = field(default_factory=list)


class Lab:
    """A publishing handler as the handlers' thread calls it, and its outbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = Outbox(folder, ROOM)
        self.handler = PublishingHandler(self.outbox, "test", Health(), lambda _: None)
        self.calls = HandlerChain([self.handler])

    def begin(self) -> TaskSet:
        """Start a run."""
        tasks = TaskSet([Task(pkg="hey")])
        message = TaskSetMessage(tasks=[dict(task) for task in tasks])
        tasks.run = Run("board:1", taskset_id=message.taskset_id, origin=message)
        self.calls.start(tasks)
        return tasks

    def give(self, tasks: TaskSet, count: int) -> bool:
        """So many events more, in one profile; returns whether the run goes on."""
        run = run_of(tasks)
        run.received_at = now()
        events = [event("START", 0, run.events + number) for number in range(count)]
        run.first_seq, run.events = run.events, run.events + count
        return bool(self.calls.event(tasks, profile_of(*events)))

    def end(self, tasks: TaskSet, outcome: Outcome = Outcome.DISTRIBUTOR_LOST, reason: str = "") -> None:
        run = run_of(tasks)
        run.outcome, run.reason, run.ended_at = outcome, reason, now()
        self.calls.end(tasks)

    def is_committed(self) -> bool:
        try:
            self.handler.commit()
        except StoreUnavailableError:
            return False
        return True

    def fill(self) -> None:
        """Have the outbox take nothing more."""
        tasks = self.begin()
        while self.is_committed():
            self.give(tasks, LARGE)
        self.give_up()

    def give_up(self) -> None:
        """What the handlers' thread does at the end of the process."""
        self.calls.patience.end_by(Deadline(0))
        self.calls.commit()

    def drain(self) -> None:
        """The broker takes everything."""
        self.outbox.remove(self.outbox.first(10_000))

    def published(self, tasks: TaskSet) -> PublishedRun:
        return published(self.outbox)[run_of(tasks).run_id]


def published(outbox: Outbox) -> dict[str, PublishedRun]:
    """What waits, by run."""
    runs: dict[str, PublishedRun] = defaultdict(PublishedRun)
    for one in outbox.first(10_000, max_bytes=10**9):
        message = read_message(one.entry.body)
        if isinstance(message, StartedMessage):
            runs[message.run.run_id].has_started = True
        elif isinstance(message, EventsMessage):
            runs[message.run.run_id].seqs += range(message.first_seq, message.next_seq)
        elif isinstance(message, EndedMessage):
            runs[message.run.run_id].ends.append(message)
            assert one.entry.kind == ("finished" if message.outcome is Outcome.FINISHED else "stopped")
    return runs


def run_of(tasks: TaskSet) -> Run:
    assert tasks.run is not None
    return tasks.run


def assert_whole(run: PublishedRun, outcome: Outcome, *reasons: str) -> int:
    """A gapless start of the run and one end that knows its length; returns that."""
    assert run.has_started
    assert run.seqs == list(range(len(run.seqs)))
    (end,) = run.ends
    assert (end.outcome, end.events) == (outcome, len(run.seqs))
    for reason in reasons:
        assert reason in end.reason
    return end.events


def adopted(lab: Lab) -> dict[str, PublishedRun]:
    """What the distributor that starts next makes of what this one left."""
    lab.outbox._lock.close()
    with Outbox(lab.folder, ROOM) as outbox:
        handler = PublishingHandler(outbox, "next", Health(), lambda _: None)
        for run in outbox.adopt():
            handler.report_lost(run, "its distributor has ended")
        handler.commit()
        return published(outbox)


def merged(one: PublishedRun, other: PublishedRun) -> PublishedRun:
    return PublishedRun(one.has_started or other.has_started, one.seqs + other.seqs, one.ends + other.ends)
