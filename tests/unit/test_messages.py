"""Messages: what they carry comes back, what is no message is refused, and their schemas are published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskgen.errors import MessageError
from taskgen.event_columns import ProfileOfRun
from taskgen.messages.codec import (
    EventsMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.messages.schemas import schemas
from taskgen.taskset import Profile
from tests.support.profiles import profile_of

PUBLISHED = Path(__file__).parents[2] / "docs" / "messages"
HEAD = RunHead(
    run_id="r", taskset_id="t", board="b:1", attempt=1, variant=0, started_at="2026-11-23", distributor="d"
)


def test_the_published_schemas_are_those_of_the_models() -> None:
    """After changing a model, run `python -m taskgen.messages.schemas docs/messages`; mind its version."""
    assert {path.name: path.read_text() for path in PUBLISHED.glob("*.json")} == schemas()


def test_a_message_comes_back_as_it_was() -> None:
    event = {"@type": "START", "@task-id": "0", "@time-stamp": "18446744073709551615", "@new": "x"}
    part = ProfileOfRun(7, "2026-11-23", profile_of(event, event))
    message = EventsMessage.of(HEAD, [part])
    assert read_message(message.body()) == message
    assert (message.first_seq, message.next_seq) == (7, 9)
    assert json.loads(message.body())["schema"] == "taskgen.run.events"


def events_v1(*profiles: Profile, first_seqs: tuple[int, ...] = (0, 2, 4)) -> bytes:
    """Events as they were published before they travelled as columns."""
    parts = [
        {"first_seq": first_seq, "received_at": "2026-11-23", "profile": profile}
        for first_seq, profile in zip(first_seqs, profiles, strict=False)
    ]
    return json.dumps(
        {"version": 1, "schema": "taskgen.run.events", "run": HEAD.model_dump(), "profiles": parts}
    ).encode()


def test_events_of_the_older_version_are_read_as_the_newer_one() -> None:
    event = {"@task-id": "007", "@type": "START", "@time-stamp": "18446744073709551615", "@new": "x"}
    profiles = [profile_of(event, event), {"profile": {"live": None, "events": {"event": [event, event]}}}]
    message = read_message(events_v1(*profiles))
    assert isinstance(message, EventsMessage)
    assert [(one.first_seq, one.received_at, one.profile) for one in message.profiles] == [
        (0, "2026-11-23", profiles[0]),
        (2, "2026-11-23", profiles[1]),
    ]
    assert message.message_id == "r:0-4"
    assert read_message(message.body()) == message


def test_another_attempt_keeps_the_task_set_and_lists_the_earlier_ones() -> None:
    message = TaskSetMessage(tasks=[{"pkg": "hey"}])
    second = message.retried(message.history.next("b:1", "it broke").next("b:1", "again"))
    assert (second.taskset_id, second.attempt, second.tried) == (message.taskset_id, 3, ["b:1"])
    assert second.reasons == ["attempt 1 on b:1: it broke", "attempt 2 on b:1: again"]


def without(name: str) -> bytes:
    fields = json.loads(TaskSetMessage(tasks=[]).body())
    del fields[name]
    return json.dumps(fields).encode()


def a_start(**of_run: str) -> bytes:
    taskset = TaskSetMessage(taskset_id="t", tasks=[{"pkg": "hey"}])
    fields = json.loads(StartedMessage(run=HEAD, taskset=taskset).body())
    fields["run"] |= of_run
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "EOF"),
        (b"\xff", "JSON"),
        (b"[]", "object"),
        (without("schema"), "schema"),
        (b'{"schema": "taskgen.unknown", "version": 1}', "taskgen.unknown"),
        (TaskSetMessage(tasks=[]).body().replace(b'"version":1', b'"version":2'), "version"),
        (without("tasks"), "tasks"),
        (
            events_v1(profile_of({"@x": "1"})),
            "valid events",
        ),
        (
            events_v1(*[profile_of({"@type": "EXIT", "@task-id": "0", "@time-stamp": "0"})] * 2),
            "leave a gap",
        ),
        (
            EventsMessage.of(HEAD, [ProfileOfRun(0, "now", profile_of())])
            .body()
            .replace(b'"types":[]', b'"types":["START"]'),
            "different lengths",
        ),
        (a_start(taskset_id="another"), "have different taskset_ids"),
        (a_start(board="b" * 201), "board"),
        (a_start(board="ü" * 101), "board"),
    ],
)
def test_an_invalid_message_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        read_message(body)
