"""A sink that is killed again and again while its store hangs costs no message its deliveries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from taskgen.amqp.management import Management
from taskgen.amqp.policies import for_queue
from taskgen.amqp.topology import sink_queue
from tests.support.broker_client import dead_letters_of, declare_queues, publish, queue_depth
from tests.support.message_factory import whole_run
from tests.support.services import Service
from tests.support.sink_kinds import CsvKind, PostgresKind, SqliteKind, wait_until_stored
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

KILLS = 25
"""More than a message may have deliveries."""


class HungStore:
    """What holds for every kind of sink."""

    name: str

    def hung(self, place: dict[str, object]) -> AbstractContextManager[None]:
        """Hold the store so that every write waits."""
        raise NotImplementedError

    def test_messages_are_not_dead_lettered_because_a_store_accepts_no_writes(
        self, amqp_vhost_url: str, management_url: str, place: dict[str, object], spec: str
    ) -> None:
        """The store hangs while a sink works; then one sink after the other is killed as it waits."""
        queue = sink_queue(self.name)
        declare_queues(amqp_vhost_url, queue)
        Management(management_url, amqp_vhost_url).set_policies([for_queue(queue)])
        run = whole_run(300)
        with ExitStack() as hanging:
            with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
                service.wait_healthy()
                hanging.enter_context(self.hung(place))
                publish(amqp_vhost_url, run)
                wait_until(lambda: queue_depth(amqp_vhost_url, queue.name) < len(run), 30, "it to take some")
                service.kill()
            for _ in range(KILLS - 1):
                with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
                    wait_until(partial(waits_for_store, service), 60, "it to wait for its store")
                    wait_until(
                        lambda: queue_depth(amqp_vhost_url, queue.name) == len(run), 30, "all to be ready"
                    )
                    service.kill()
        with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
            service.wait_healthy()
            wait_until_stored(1, spec)
        assert dead_letters_of(amqp_vhost_url, queue.name) == []


def waits_for_store(service: Service) -> bool:
    """Whether it says that it takes nothing until its store takes writes."""
    consuming = service.health().get("parts", {}).get("consuming", {})
    return not consuming.get("ok") and "store" in consuming.get("reason", "")


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Be the writer of a SQLite file that never ends."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


class TestSqlite(SqliteKind, HungStore):
    @contextmanager
    def hung(self, place: dict[str, object]) -> Iterator[None]:
        with written(Path(str(place["sqlite_path"]))):
            yield


class TestCsv(CsvKind, HungStore):
    @contextmanager
    def hung(self, place: dict[str, object]) -> Iterator[None]:
        with written(Path(str(place["csv_dir"])) / "ledger.db"):
            yield


class TestPostgres(PostgresKind, HungStore):
    @contextmanager
    def hung(self, place: dict[str, object]) -> Iterator[None]:
        with psycopg.connect(str(place["postgres_dsn"])) as other:
            other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            yield
