"""A handler behind a queue is called as in one process, whatever order and however often messages come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskgen.amqp.channel import Delivery
from taskgen.consumer.run_tracker import RunTracker
from taskgen.errors import MessageError, StoreUnavailableError
from taskgen.event import AbstractEventHandler, DefaultEventHandler, Quarantined
from taskgen.event_columns import ProfileOfRun
from taskgen.events.sql import SqliteHandler, read_events, read_runs
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    Message,
    QuarantinedMessage,
    RunHead,
    StartedMessage,
    StatusMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome, now
from taskgen.state.opening import open_state
from taskgen.state.state import State
from taskgen.task import Job, Task
from taskgen.taskset import Profile, TaskSet
from tests.support.message_factory import BOARD, ended_message, run_head, started_message

DELIVERY = Delivery(1, b"", "", "", {}, is_redelivered=False)
TASKS = [
    dict(Task(id=0, pkg="hey", period=10, numberofjobs=2)),
    dict(Task(id=1, pkg="idle", period=10, numberofjobs=0)),
]


class Recording(DefaultEventHandler):
    """Writes down how it is called, and what the task-set tells it then."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self.decisions: list[bool] = []

    def __taskset_start__(self, taskset: TaskSet) -> None:
        self._note("start", taskset)

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        self.decisions.append(bool(super().__taskset_event__(taskset, event)))
        assert taskset.run is not None
        types = [one["@type"] for one in event["profile"]["events"]["event"]]
        self._note("event", taskset, taskset.run.first_seq, *types)
        return self.decisions[-1]

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        self._note("finish", taskset, taskset.run and taskset.run.events)

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        self._note("stop", taskset, taskset.run and taskset.run.outcome, taskset.run and taskset.run.reason)

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        self.calls.append(("quarantine", taskset is not None, quarantined.data))

    def _note(self, what: str, taskset: TaskSet, *more: object) -> None:
        assert taskset.run is not None
        assert taskset.run.board == BOARD
        self.calls.append((what, *more))


@pytest.fixture
def state_url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'state.db'}"


@pytest.fixture
def process(state_url: str) -> Iterator[Callable[[AbstractEventHandler], RunTracker]]:
    """A processor as a new process has it: nothing but the state is left of the former one."""
    states: list[State] = []

    def begin(handler: AbstractEventHandler) -> RunTracker:
        states.append(open_state(state_url, "test"))
        return RunTracker(handler, states[-1])

    yield begin
    for state in states:
        state.close()


Process = Callable[[AbstractEventHandler], RunTracker]


def give(processor: RunTracker, *messages: Message) -> None:
    """One batch."""
    processor.begin()
    for message in messages:
        processor.take(message, DELIVERY)
    processor.commit()


def begin(run: RunHead) -> StartedMessage:
    return StartedMessage(run=run, taskset=TaskSetMessage(taskset_id=run.taskset_id, tasks=TASKS))


def say(run: RunHead, first_seq: int, *types: str, task_id: int = 0) -> EventsMessage:
    """One profile with events of these types, at times 10 ms apart."""
    found = [
        {"@type": kind, "@task-id": str(task_id), "@time-stamp": str(10 * seq)}
        for seq, kind in enumerate(types, first_seq)
    ]
    profile = {"profile": {"events": {"event": found}}}
    return EventsMessage.of(run, [ProfileOfRun(first_seq, now(), profile)])


def test_a_run_in_order_is_as_in_one_process(process: Process) -> None:
    run, handler = run_head(), Recording()
    give(
        process(handler),
        begin(run),
        say(run, 0, "START", "EXIT"),
        say(run, 2, "START"),
        ended_message(run, 3),
    )
    assert handler.calls == [("start",), ("event", 0, "START", "EXIT"), ("event", 2, "START"), ("finish", 3)]


def test_messages_in_any_order_and_twice_are_handled_once_and_in_order(process: Process) -> None:
    run, handler = run_head(), Recording()
    messages: list[Message] = [
        ended_message(run, 4),
        say(run, 2, "START"),
        say(run, 3, "EXIT"),
        begin(run),
        say(run, 0, "START", "EXIT"),
    ]
    processor = process(handler)
    for message in messages:
        give(processor, message, message)
    give(processor, *messages)
    assert handler.calls == [
        ("start",),
        ("event", 0, "START", "EXIT"),
        ("event", 2, "START"),
        ("event", 3, "EXIT"),
        ("finish", 4),
    ]


def test_out_of_order_messages_survive_a_restart(process: Process) -> None:
    run, handler = run_head(), Recording()
    give(process(Recording()), say(run, 1, "EXIT"), ended_message(run, 2, Outcome.TIMED_OUT))
    give(process(Recording()), begin(run))
    give(process(handler), say(run, 0, "START"))
    assert handler.calls == [("event", 0, "START"), ("event", 1, "EXIT"), ("stop", Outcome.TIMED_OUT, "")]
    again = Recording()
    give(process(again), begin(run), say(run, 0, "START"), say(run, 1, "EXIT"), ended_message(run, 2))
    assert again.calls == []


def test_only_the_new_events_of_overlapping_profiles_are_handled(process: Process) -> None:
    run, handler = run_head(), Recording()
    processor = process(handler)
    give(processor, begin(run), say(run, 0, "START", "EXIT"))
    give(processor, say(run, 1, "EXIT", "START", "EXIT"))
    assert handler.calls[1:] == [("event", 0, "START", "EXIT"), ("event", 2, "START", "EXIT")]


def test_jobs_are_rebuilt_in_the_middle_of_a_run(process: Process) -> None:
    run = run_head()
    large = 2**64 - 1
    first = say(run, 0, "START", "EXIT", "START")
    first.events.time_stamps[0] = large
    give(process(Recording()), begin(run), first, say(run, 3, "JOBS_DONE", task_id=1))
    seen: list[list[list[Job]]] = []

    class Looking(AbstractEventHandler):
        def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
            seen.append([[replace(job) for job in task.jobs] for task in taskset])
            return True

    processor = process(Looking())
    give(processor, say(run, 4, "NOT_SCHEDULED"))
    give(processor, say(run, 5, "EXIT_CRITICAL"))
    assert seen[0] == [[Job(large, 10, "EXIT"), Job(20)], []]
    assert seen[1] == [[Job(large, 10, "EXIT"), Job(40, 40, "NOT_SCHEDULED"), Job(20)], []]
    handler = Recording()
    give(process(handler), say(run, 6))
    assert handler.decisions == [False], "both tasks are terminated"


def test_a_closed_run_is_released(process: Process) -> None:
    processor = process(Recording())
    for _ in range(20):
        run = run_head()
        give(processor, begin(run), say(run, 0, "START"), ended_message(run, 1))
    assert not processor._tracked.runs
    assert not processor._tracked.tasksets


def test_an_unavailable_state_loses_and_duplicates_nothing(process: Process, state_url: str) -> None:
    run, handler = run_head(), Recording()
    processor = process(handler)
    give(processor, begin(run))
    usurper = open_state(state_url, "test")
    usurper.claim()
    processor.take(say(run, 0, "START"), DELIVERY)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            processor.commit()
    processor.abandon()
    usurper.close()
    give(processor, say(run, 0, "START"), say(run, 1, "EXIT"))
    # Another process may have done anything meanwhile, so what was not committed is done again.
    assert handler.calls == [("start",), ("event", 0, "START"), ("event", 0, "START"), ("event", 1, "EXIT")]


def test_messages_handled_before_the_connection_broke_are_not_handled_again(process: Process) -> None:
    run, handler = run_head(), Recording()
    processor = process(handler)
    give(processor, begin(run), say(run, 0, "START"))
    processor.take(say(run, 1, "EXIT"), DELIVERY)
    processor.abandon()
    give(processor, begin(run), say(run, 0, "START"), say(run, 1, "EXIT"))
    assert handler.calls == [("start",), ("event", 0, "START"), ("event", 1, "EXIT")]


def test_a_handler_that_stores_has_everything_when_the_batch_is_committed(
    process: Process, tmp_path: Path
) -> None:
    path = tmp_path / "events.db"
    run = run_head()
    with SqliteHandler(path) as handler:
        give(process(handler), begin(run), say(run, 0, "START", "EXIT"), ended_message(run, 2))
        assert [event.type for event in read_events(path, run.run_id)] == ["START", "EXIT"]
        (stored,) = read_runs(path)
        assert stored.outcome is Outcome.FINISHED


def test_a_handler_that_raises_does_not_stop_the_others_runs(process: Process) -> None:
    class Raising(Recording):
        def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
            super().__taskset_event__(taskset, event)
            raise RuntimeError("a user's mistake")

    run, handler = run_head(), Raising()
    give(process(handler), begin(run), say(run, 0, "START"), say(run, 1, "EXIT"), ended_message(run, 2))
    assert handler.calls[-1] == ("finish", 2)


def test_invalid_data_reaches_the_handler(process: Process) -> None:
    run, handler = run_head(), Recording()
    of_run = QuarantinedMessage(run=run, board=BOARD, reason="no XML", received_at=now(), data_base64="YQ==")
    of_none = of_run.model_copy(update={"run": None})
    give(process(handler), begin(run), of_run, of_none)
    assert handler.calls[1:] == [("quarantine", True, b"a"), ("quarantine", False, b"a")]


def test_an_invalid_message_is_rejected_and_changes_nothing(process: Process) -> None:
    run, handler = run_head(), Recording()
    processor = process(handler)
    twice = TaskSetMessage(taskset_id=run.taskset_id, tasks=[TASKS[0], TASKS[0]])
    broken: list[Message] = [
        StartedMessage(run=run, taskset=twice),
        StatusMessage(distributor="d", boards=[]),
    ]
    for message in broken:
        with pytest.raises(MessageError):
            processor.take(message, DELIVERY)
    give(processor)
    assert handler.calls == []


def test_a_run_that_began_before_its_queue_is_ignored(process: Process) -> None:
    run, handler = run_head(), Recording()
    processor = process(handler)
    for first in range(0, 1200, 100):
        give(processor, *(say(run, seq, "START") for seq in range(first + 1, first + 101)))
    give(processor, ended_message(run, 1300))
    assert handler.calls == []
    assert not processor._state.out_of_order_ids(run.run_id)


def test_the_ends_that_stored_runs_have_are_those_of_their_messages(process: Process, state_url: str) -> None:
    run = run_head()
    end = EndedMessage(run=run, ended_at=now(), outcome=Outcome.BOARD_LOST, reason="silent", events=0)
    give(process(Recording()), started_message(run), end)
    with closing(open_state(state_url, "test")) as state:
        row = state.run(run.run_id)
    assert row is not None
    assert (row.outcome, row.reason, row.events, row.is_closed) == ("board_lost", "silent", 0, True)
