"""Messages: what they carry comes back, what is no message is refused, and their schemas are published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskgen.errors import MessageError
from taskgen.messages.codec import (
    EventsMessage,
    ProfileOfRun,
    RunHead,
    StartedMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.messages.schemas import schemas
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
    part = ProfileOfRun(first_seq=7, received_at="2026-11-23", profile=profile_of(event, event))
    message = EventsMessage(run=HEAD, profiles=[part])
    assert read_message(message.body()) == message
    assert (message.first_seq, message.next_seq) == (7, 9)
    assert json.loads(message.body())["schema"] == "taskgen.run.events"


def test_another_attempt_keeps_the_task_set_and_says_what_was_tried() -> None:
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
            EventsMessage.model_construct(
                run=HEAD,
                profiles=[
                    ProfileOfRun.model_construct(first_seq=0, received_at="", profile=profile_of({"@x": "1"}))
                ],
            ).body(),
            "valid events",
        ),
        (a_start(taskset_id="another"), "disagree about taskset_id"),
        (a_start(board="b" * 201), "board"),
        (a_start(board="ü" * 101), "board"),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        read_message(body)
