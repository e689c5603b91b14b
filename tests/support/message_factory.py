"""Messages about made-up runs, as a distributor publishes them."""

from __future__ import annotations

from typing import Any

from taskgen.event_columns import ProfileOfRun
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    Message,
    QuarantinedMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome, new_id, now
from taskgen.task import Task
from tests.support.profiles import parsed_profile

BOARD = "127.0.10.1:3001"


def run_head(**more: Any) -> RunHead:
    """A run of its own, with these fields."""
    fields = {"board": BOARD, "attempt": 1, "variant": 0, "started_at": now(), "distributor": "test"}
    return RunHead(run_id=new_id(), taskset_id=new_id(), **fields | more)


def events_message(run: RunHead, first_seq: int, count: int) -> EventsMessage:
    """One profile with that many events: jobs of the first task, each with a start and an end."""
    seqs = range(first_seq, first_seq + count)
    profile = parsed_profile(*(("START" if seq % 2 == 0 else "EXIT", 0, 10 * seq) for seq in seqs))
    part = ProfileOfRun(first_seq, now(), profile)
    return EventsMessage.of(run, [part])


def started_message(run: RunHead) -> StartedMessage:
    """The run has started, with a task that has many jobs."""
    task = Task(pkg="hey", id=0, period=10, numberofjobs=1000)
    return StartedMessage(run=run, taskset=TaskSetMessage(taskset_id=run.taskset_id, tasks=[dict(task)]))


def ended_message(run: RunHead, events: int, outcome: Outcome = Outcome.FINISHED) -> EndedMessage:
    """The run has ended after that many events."""
    return EndedMessage(run=run, ended_at=now(), outcome=outcome, events=events)


def whole_run(profiles: int = 5, size: int = 2) -> list[Message]:
    """The messages of a run, from its start to its end; `size` is the number of events in each profile."""
    run = run_head()
    return [
        started_message(run),
        *(events_message(run, number * size, size) for number in range(profiles)),
        ended_message(run, profiles * size),
    ]


def routing_key(message: Message) -> str:
    """The key that a distributor publishes the message with."""
    assert isinstance(message, StartedMessage | EventsMessage | EndedMessage | QuarantinedMessage)
    return message.routing_key
