"""A store that takes for ever: said by /healthz, waited for, and no reason never to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from taskgen.amqp.channel import Delivery
from taskgen.consumer.sink import SinkProcessor
from taskgen.errors import StoreUnavailableError
from taskgen.events.sql import SqliteHandler
from taskgen.events.verify import verify
from tests.support.broker_client import publish
from tests.support.message_factory import whole_run
from tests.support.services import Service
from tests.support.sink_kinds import wait_until_stored
from tests.support.store_events import full_disk
from tests.support.waiting import wait_until

DELIVERY = Delivery(1, b"", "", "", {}, is_redelivered=False)
STUCK = """
import asyncio, time
from taskgen.runtime import runner as service
from taskgen.runtime.settings import ServiceSettings

async def serve(settings, health):
    health.set("consuming", True)
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)

service.END_S = 0.5
service.run_service("stuck", ServiceSettings, serve)
"""


@pytest.mark.servers
def test_a_database_that_does_not_answer_is_reported_and_waited_for(
    amqp_vhost_url: str, postgres_database: str
) -> None:
    with Service("postgres_sink", amqp_url=amqp_vhost_url, postgres_dsn=postgres_database) as service:
        service.wait_healthy()
        with psycopg.connect(postgres_database) as other:
            other.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
            publish(amqp_vhost_url, whole_run(3))
            wait_until(lambda: "no answer" in service.get("/healthz")[1], 30, "the store to be missed")
            assert service.get("/healthz")[0] == 503
        service.wait_healthy()
        wait_until_stored(1, postgres_database)
        assert service.stop() == 0


def test_a_service_blocked_in_a_call_ends_nevertheless() -> None:
    environment = os.environ | {"TASKGEN_HTTP_PORT": "0"}
    command = [sys.executable, "-c", STUCK]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "serves" in process.stderr.readline() + process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 1
        assert "and is killed" in process.stderr.read()


@pytest.fixture
def processors(tmp_path: Path) -> Iterator[Callable[[], SinkProcessor]]:
    made: list[SinkProcessor] = []

    def make() -> SinkProcessor:
        made.append(SinkProcessor(lambda: SqliteHandler(tmp_path / "events.db")))
        return made[-1]

    yield make
    for processor in made:
        processor.close()


def test_a_batch_that_did_not_fit_is_stored_before_more_messages_are_requested(
    processors: Callable[[], SinkProcessor], tmp_path: Path
) -> None:
    run, processor = whole_run(300), processors()
    processor.begin()
    for message in run:
        processor.take(message, DELIVERY)
    with full_disk(tmp_path):
        with pytest.raises(StoreUnavailableError):
            processor.commit()
        processor.abandon()  # the broker has lost its patience
        with pytest.raises(StoreUnavailableError):
            processor.begin()
    processor.begin()
    for message in run:  # which come again
        processor.take(message, DELIVERY)
    processor.commit()
    processor.close()
    report = verify([f"sqlite:{tmp_path / 'events.db'}"])
    assert (report.is_clean, report.ended) == (True, 1)
