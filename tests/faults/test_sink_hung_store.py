"""A sink that is killed again and again while its store hangs costs no message its deliveries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from taskgen.amqp.management import Management
from taskgen.amqp.policies import for_queue
from taskgen.amqp.topology import sink_queue
from tests.services import Service
from tests.sink_kinds import CsvKind, PostgresKind, SqliteKind
from tests.traffic import declare, depth, parked, publish, wait_stored, whole_run
from tests.waiting import wait_until

pytestmark = pytest.mark.servers

DELIVERIES = 3
"""The limit of this queue, so that few kills are enough."""
KILLS = DELIVERIES + 2


class HungStore:
    """What holds for every kind of sink."""

    name: str

    def hung(self, place: dict[str, object]) -> AbstractContextManager[None]:
        """Hold the store so that every write waits."""
        raise NotImplementedError

    def test_messages_are_not_dead_lettered_for_a_store_that_takes_no_writes(
        self, amqp_vhost_url: str, management_url: str, place: dict[str, object], spec: str
    ) -> None:
        queue = sink_queue(self.name)
        declare(amqp_vhost_url, queue)
        limits = for_queue(queue)
        limits["definition"]["delivery-limit"] = DELIVERIES
        Management(management_url, amqp_vhost_url).set_policies([limits])
        with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
            service.wait_healthy()  # so that the store is there
        publish(amqp_vhost_url, whole_run(30))
        with self.hung(place):
            for _ in range(KILLS):
                with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
                    wait_until(
                        partial(takes_or_waits, service, amqp_vhost_url, queue.name),
                        60,
                        "the store to matter",
                    )
                    service.kill()
        with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
            service.wait_healthy()
            wait_stored(1, spec)
        assert parked(amqp_vhost_url, queue.name) == []


def takes_or_waits(service: Service, url: str, queue: str) -> bool:
    """Whether it holds the messages of its queue, or waits for its store before it takes any."""
    consuming = service.health().get("parts", {}).get("consuming", {})
    return depth(url, queue) == 0 if consuming.get("ok") else "store" in consuming.get("reason", "")


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
