"""What a distributor says of its runs: everything, in messages of which consumers can hold many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.distributor.outbox import Outbox
from services.distributor.publishing_handler import PublishingHandler
from taskgen.event_columns import ProfileOfRun
from taskgen.messages.codec import EventsMessage, TaskSetMessage, read_message
from taskgen.run import Run
from taskgen.runtime.health import Health
from taskgen.task import Task
from taskgen.taskset import Profile, TaskSet

MESSAGE_BYTES = 64 * 1024
TASK = Task(pkg="hey", id=0, period=10, numberofjobs=1000)


def event(seq: int, size: int = 0) -> dict[str, Any]:
    kind = "EXIT" if seq % 2 else "START"
    more = {"@note": "x" * size} if size else {}
    return {"@type": kind, "@task-id": "0", "@time-stamp": str(seq)} | more


def profile(*events: dict[str, Any], **beside: Any) -> Profile:
    return {"profile": {"events": {"event": list(events)}, **beside}}


def a_run() -> TaskSet:
    taskset = TaskSet([Task(TASK)])
    message = TaskSetMessage(tasks=[dict(TASK)])
    taskset.run = Run("127.0.10.1:3001", taskset_id=message.taskset_id, origin=message)
    return taskset


def published(taskset: TaskSet, profiles: list[Profile], folder: Path) -> list[EventsMessage]:
    """What comes into the outbox of a run with these profiles, in one batch."""
    assert taskset.run is not None
    with Outbox(folder, 2**40) as outbox:
        handler = PublishingHandler(outbox, "d", Health(), lambda _: None)
        handler.begin()
        handler.__taskset_start__(taskset)
        for one in profiles:
            handler.__taskset_event__(taskset, one)
            taskset.run.first_seq += len(one["profile"]["events"]["event"])
        handler.commit()
        stored = outbox.first(10_000, 2**40)
        outbox.remove(stored)
    messages = [read_message(one.entry.body) for one in stored]
    assert [one.message_id for one in messages] == [one.entry.message_id for one in stored]
    return [one for one in messages if isinstance(one, EventsMessage)]


def said(profiles: list[ProfileOfRun]) -> list[tuple[int, dict[str, Any]]]:
    """All events with their numbers."""
    return [(seq, found) for one in profiles for seq, found in enumerate(one.events, one.first_seq)]


sizes = st.lists(
    st.lists(st.sampled_from([0, 0, 0, 900, 9_000, 70_000]), max_size=40), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_messages_are_small_and_complete_whatever_the_size_of_frames(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[int]]
) -> None:
    whole = [profile(*(event(seq, size) for seq, size in enumerate(one))) for one in sizes]
    messages = published(a_run(), whole, tmp_path_factory.mktemp("outbox"))
    events = [found for one in whole for found in one["profile"]["events"]["event"]]
    assert said([part for one in messages for part in one.profiles]) == list(enumerate(events))
    assert all(
        len(one.body()) <= MESSAGE_BYTES or sum(len(part.events) for part in one.profiles) <= 1
        for one in messages
    )


def test_further_content_of_a_frame_is_sent_once(tmp_path: Path) -> None:
    beside = {"task-descriptions": {"task": "x" * 100}}
    whole = profile(*(event(seq, 1000) for seq in range(300)), **beside)
    messages = published(a_run(), [whole], tmp_path)
    contents = [part.profile["profile"] for one in messages for part in one.profiles]
    assert len(messages) > 1
    assert [content.get("task-descriptions") for content in contents] == [
        beside["task-descriptions"],
        *[None] * (len(contents) - 1),
    ]
    assert len({one.message_id for one in messages}) == len(messages)


def test_a_long_run_is_followed_without_its_jobs(tmp_path: Path) -> None:
    """Only whether all its tasks are terminated matters to a distributor."""
    taskset = a_run()
    whole = [profile(event(2 * number), event(2 * number + 1)) for number in range(999)]
    published(taskset, whole, tmp_path / "a")
    assert not taskset.is_terminated
    assert sum(len(task.jobs) for task in taskset) <= 1
    published(taskset, [profile(event(0), event(1))], tmp_path / "b")
    assert taskset.is_terminated
