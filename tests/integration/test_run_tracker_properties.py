"""However messages come, and whenever the process dies, a handler in the end has seen what happened."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.controller.controller import Controller
from taskgen.amqp.channel import Delivery
from taskgen.consumer.run_tracker import RunTracker
from taskgen.errors import StoreUnavailableError
from taskgen.event import DefaultEventHandler, EventType, Profile, Stop
from taskgen.event_columns import ProfileOfRun
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    Message,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome, Run, now
from taskgen.state.database import Database, Writer
from taskgen.state.opening import open_state
from taskgen.state.state import State
from taskgen.task import Job, Task
from taskgen.taskset import TaskSet
from tests.support.message_factory import BOARD, run_head

DELIVERY = Delivery(1, b"", "", "", {}, is_redelivered=False)
TASKS = [dict(Task(id=number, pkg="hey", period=10, numberofjobs=0)) for number in range(2)]

an_event = st.fixed_dictionaries(
    {
        "@type": st.sampled_from([kind.value for kind in EventType] + ["UNKNOWN"]),
        "@task-id": st.sampled_from(["0", "1", "-1"]),
        "@time-stamp": st.integers(0, 2**64 - 1).map(str),
    }
)
profiles = st.lists(st.lists(an_event, max_size=4), max_size=6)


class Last(DefaultEventHandler):
    """Keeps what it saw, over all lives of its process."""

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[int, dict[str, Any]] = {}
        self.ends: list[tuple[Outcome | None, list[list[Job]]]] = []
        self.starts = 0

    def __taskset_start__(self, taskset: TaskSet) -> None:
        self.starts += 1

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        assert taskset.run is not None
        found = event["profile"]["events"]["event"]
        numbered = dict(enumerate(found, taskset.run.first_seq))
        assert not numbered.keys() & self.events.keys(), "an event that was handled before"
        self.events |= numbered
        assert list(self.events) == list(range(len(self.events))), "an event before its turn"
        return super().__taskset_event__(taskset, event)

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        assert taskset.run is not None
        self.ends.append((taskset.run.outcome, jobs(taskset)))


def jobs(taskset: TaskSet) -> list[list[Job]]:
    return [task.jobs for task in taskset]


def in_one_process(all_profiles: list[list[dict[str, Any]]]) -> list[list[Job]]:
    taskset = TaskSet(Task(task) for task in TASKS)
    taskset.run = Run(BOARD)
    for found in all_profiles:
        taskset.apply({"profile": {"events": {"event": found}}})
        taskset.run.first_seq += len(found)
    return jobs(taskset)


def as_messages(all_profiles: list[list[dict[str, Any]]]) -> list[Message]:
    run = run_head()
    messages: list[Message] = [
        StartedMessage(run=run, taskset=TaskSetMessage(taskset_id=run.taskset_id, tasks=TASKS))
    ]
    seq = 0
    for found in all_profiles:
        profile = {"profile": {"events": {"event": found}}}
        part = ProfileOfRun(seq, now(), profile)
        messages.append(EventsMessage.of(run, [part]))
        seq += len(found)
    end = EndedMessage(run=run, ended_at=now(), outcome=Outcome.FINISHED, events=seq)
    return [*messages, end]


@settings(max_examples=60, deadline=None)
@given(profiles, st.randoms(use_true_random=False), st.data())
def test_order_duplicates_and_restarts_change_nothing(
    all_profiles: list[list[dict[str, Any]]], random: Any, data: st.DataObject
) -> None:
    messages = as_messages(all_profiles)
    deliveries = messages + data.draw(st.lists(st.sampled_from(messages), max_size=6))
    random.shuffle(deliveries)
    handler = Last()
    with tempfile.TemporaryDirectory() as folder:
        while deliveries:
            with closing(open_state(f"sqlite:{Path(folder) / 'state.db'}", "test")) as state:
                processor = RunTracker(handler, state)
                is_restarted = False
                while deliveries and not is_restarted:
                    size = random.randint(1, len(deliveries))
                    batch, deliveries = deliveries[:size], deliveries[size:]
                    for message in batch:
                        processor.take(message, DELIVERY)
                    processor.commit()
                    is_restarted = random.random() < 0.5
    assert handler.starts == 1
    assert list(handler.events.values()) == [event for found in all_profiles for event in found]
    assert handler.ends == [(Outcome.FINISHED, in_one_process(all_profiles))]


class Flickering:
    """A database that is away for some calls."""

    def __init__(self, database: Database, is_away: Callable[[], bool]) -> None:
        self._database = database
        self._is_away = is_away

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        self._flicker()
        return self._database.rows(query, *values)

    @contextmanager
    def transaction(self) -> Iterator[Writer]:
        self._flicker()
        with self._database.transaction() as writer:
            yield writer

    def close(self) -> None:
        self._database.close()

    def _flicker(self) -> None:
        if self._is_away():
            raise StoreUnavailableError("away")


@settings(max_examples=60, deadline=None)
@given(profiles, st.integers())
def test_a_state_unavailable_at_any_moment_changes_nothing(
    all_profiles: list[list[dict[str, Any]]], seed: int
) -> None:
    deliveries, random = as_messages(all_profiles), Random(seed)
    random.shuffle(deliveries)
    handler = Last()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:{Path(folder) / 'state.db'}"
        flickering = Flickering(open_state(url, "test")._database, lambda: random.random() < 0.2)
        with closing(State(flickering, "test")) as state:
            processor = Controller(handler, state, "test").tracker
            while deliveries:
                size = random.randint(1, len(deliveries))
                batch, deliveries = deliveries[:size], deliveries[size:]
                for message in batch:
                    processor.take(message, DELIVERY)
                while not is_committed(processor):
                    pass
        with closing(open_state(url, "test")) as state:
            assert state.run_counts() == {"finished": 1}
            counts = state.campaign_counts(1)[""]
            assert {name: number for name, number in counts.items() if number} == {"finished": 1}
    assert handler.starts == 1
    assert list(handler.events.values()) == [event for found in all_profiles for event in found]
    assert handler.ends == [(Outcome.FINISHED, in_one_process(all_profiles))]


def is_committed(processor: RunTracker) -> bool:
    try:
        processor.commit()
    except StoreUnavailableError:
        return False
    return True


@pytest.mark.parametrize("call", range(9))
def test_an_invalid_run_is_closed_once_although_the_state_is_unavailable_for_a_moment(
    tmp_path: Path, call: int
) -> None:
    url, start = f"sqlite:{tmp_path / 'state.db'}", as_messages([])[0]
    with closing(open_state(url, "test")) as state:
        tracker = Controller(DefaultEventHandler(), state, "test").tracker
        tracker.take(start, DELIVERY)
        tracker.commit()
        with state._database.transaction() as writer:
            writer.run("UPDATE runs SET decision = 'exploded'")
    calls = count()
    flickering = Flickering(open_state(url, "test")._database, lambda: next(calls) == call)
    with closing(State(flickering, "test")) as state:
        controller = Controller(DefaultEventHandler(), state, "test")
        with suppress(StoreUnavailableError):
            controller.report()
        assert controller.report().runs == {"distributor_lost": 1}
