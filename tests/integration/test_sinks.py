"""The sinks on real servers: what is published is stored exactly once, and what is no message is parked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from taskgen.amqp.topology import sink_queue
from taskgen.events.stores import open_store
from taskgen.events.verify import verify
from taskgen.messages.codec import Message, QuarantinedMessage
from taskgen.run import Outcome, now
from tests.support.broker_client import dead_letters_of, publish, publish_to_queue, queue_depth
from tests.support.message_factory import (
    BOARD,
    ended_message,
    events_message,
    run_head,
    started_message,
    whole_run,
)
from tests.support.services import Service
from tests.support.sink_kinds import CsvKind, PostgresKind, SqliteKind, wait_until_stored
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

Start = Callable[[], Service]


class SinkContract:
    name: str

    @pytest.fixture
    def start(self, amqp_vhost_url: str, place: dict[str, object]) -> Start:
        return lambda: Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place)

    def test_runs_are_stored_once_however_often_their_messages_come(
        self, amqp_vhost_url: str, start: Start, spec: str
    ) -> None:
        with start() as service:
            service.wait_healthy()
            runs = [whole_run(20, 3) for _ in range(3)]
            messages = [message for run in runs for message in run]
            publish(amqp_vhost_url, messages)
            publish(amqp_vhost_url, reversed(messages))
            wait_until(
                lambda: queue_depth(amqp_vhost_url, sink_queue(self.name).name) == 0, 30, "an empty queue"
            )
            wait_until_stored(3, spec)
            assert service.stop() == 0
        assert list(verify([spec]).events.values()) == [180]
        with closing(open_store(spec)) as reader:
            assert {run.outcome for run in reader.runs()} == {Outcome.FINISHED}

    def test_an_invalid_message_is_dead_lettered_with_its_reason_and_the_rest_is_stored(
        self, amqp_vhost_url: str, start: Start, spec: str
    ) -> None:
        queue = sink_queue(self.name).name
        poison = {
            b"\xff not JSON": "JSON",
            b"[]": "object",
            b'{"schema": "taskgen.else", "version": 1}': "taskgen.else",
            _changed(ended_message(run_head(), 0), version=2): "version",
            _changed(ended_message(run_head(), 0), events=-1): "events",
            _changed(ended_message(run_head(), 0), outcome="exploded"): "outcome",
            _with_event({"@type": "X", "@task-id": 7, "@time-stamp": "1"}): "unusual event",
            _with_event({"@type": "X", "@task-id": "7", "@time-stamp": str(2**64)}): "unusual event",
            _with_event({"@type": "X", "@task-id": "\u00b2", "@time-stamp": "1"}): "unusual event",
            _with_tasks([{"pkg": "hey", "id": 0, "period": [10, 20]}]): "choice",
            b'{"schema": "taskgen.reboot", "board": "x"}': "not a message for a sink",
            _with_tasks([{"pkg": "hey", "id": 0}] * 2): "already in use",
            _changed(ended_message(run_head(), 0), events=2**53): "events",
            _changed(ended_message(run_head(), 0), reason="a \0 in it"): "NUL",
        }
        with start() as service:
            service.wait_healthy()
            publish(amqp_vhost_url, whole_run())
            publish_to_queue(amqp_vhost_url, queue, poison)
            publish(amqp_vhost_url, whole_run())
            wait_until(
                lambda: len(dead_letters_of(amqp_vhost_url, queue)) == len(poison), 30, "parked messages"
            )
            wait_until_stored(2, spec)
            found = {one.delivery.body: one for one in dead_letters_of(amqp_vhost_url, queue)}
            assert service.get("/healthz")[0] == 200
            assert f"taskgen_parked_total {len(poison)}.0" in service.get("/metrics")[1]
            service.stop()
        assert found.keys() == poison.keys()
        assert {body: word for body, word in poison.items() if word not in found[body].reason} == {}
        assert {one.routing_key for one in found.values()} == {queue}

    def test_stops_and_quarantined_bytes_are_stored(
        self, amqp_vhost_url: str, start: Start, spec: str
    ) -> None:
        run = run_head()
        bytes_ = QuarantinedMessage(
            run=run, board=BOARD, reason="not XML", received_at=now(), data_base64=_base64(b"\0<x")
        )
        stray = QuarantinedMessage(board=BOARD, reason="stray", received_at=now(), data_base64=_base64(b"y"))
        messages: list[Message] = [started_message(run), events_message(run, 0, 1), bytes_, stray, bytes_]
        with start() as service:
            service.wait_healthy()
            publish(amqp_vhost_url, [*messages, ended_message(run, 1, Outcome.BOARD_LOST)])
            wait_until_stored(1, spec)
            service.stop()
        with closing(open_store(spec)) as reader:
            assert [one.outcome for one in reader.runs()] == [Outcome.BOARD_LOST]
            found = {(one.run_id, one.reason, one.data) for one in reader.quarantined()}
        assert found == {(run.run_id, "not XML", b"\0<x"), (None, "stray", b"y")}


class TestSqliteSink(SqliteKind, SinkContract):
    pass


class TestCsvSink(CsvKind, SinkContract):
    pass


class TestPostgresSink(PostgresKind, SinkContract):
    pass


def _changed(message: Message, **fields: Any) -> bytes:
    return json.dumps(json.loads(message.body()) | fields).encode()


def _with_event(event: dict[str, Any]) -> bytes:
    message = json.loads(events_message(run_head(), 0, 1).body())
    message["events"]["unusual"] = {"0": event}
    return json.dumps(message).encode()


def _with_tasks(tasks: list[dict[str, Any]]) -> bytes:
    message = json.loads(started_message(run_head()).body())
    message["taskset"]["tasks"] = tasks
    return json.dumps(message).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(("name", "variable"), [("sqlite", "sqlite_path"), ("csv", "csv_dir")])
def test_an_impossible_path_ends_the_sink_with_one_line_that_names_the_variable(
    amqp_vhost_url: str, tmp_path: Path, name: str, variable: str
) -> None:
    (tmp_path / "file").touch()
    place = {variable: tmp_path / "file" / "place"}
    with Service(f"{name}_sink", amqp_url=amqp_vhost_url, **place) as service:
        assert service.process.wait(timeout=30) == 2
        (line,) = [text for text in service.log.splitlines() if text.startswith(f"{name}_sink: ")]
        assert f"TASKGEN_{variable.upper()}: {tmp_path}" in line
        assert "Traceback" not in service.log
