"""Sinks under load while they, their broker or their store are taken away: every event is stored once."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from taskgen.amqp.topology import sink_queue
from tests.support.broker_client import publish, queue_depth
from tests.support.message_factory import whole_run
from tests.support.servers.rabbitmq import Broker
from tests.support.servers.server import Server
from tests.support.services import Service
from tests.support.sink_kinds import CsvKind, PostgresKind, SqliteKind, wait_until_stored
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

EVENTS = "taskgen_events_total"
REDELIVERIES = "taskgen_redeliveries_total"
_KILLS = 6
_RUNS_A_TURN = 20
_PROFILES = 50


def load(url: str, runs: int) -> None:
    """Publish runs, their messages mixed as those of many boards are; the first few come twice."""
    whole = [whole_run(_PROFILES) for _ in range(runs)]
    publish(url, [message for row in zip(*whole, strict=True) for message in row])
    publish(url, whole[0])


def counted(service: Service, metric: str) -> float:
    """The value of one of a service's metrics."""
    found = re.search(rf"^{metric} (\S+)$", service.get("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def a_broker_that_goes_and_comes_back(
    broker: Broker, end: Callable[[], None], url: str, name: str, spec: str, **place: object
) -> None:
    """Have a sink stored what came before and after; nothing is lost, double or parked."""
    with Service(f"{name}_sink", amqp_url=url, **place) as service:
        service.wait_healthy()
        load(url, _RUNS_A_TURN)
        broker.sync()
        end()
        wait_until(lambda: service.get("/healthz")[0] == 503, 30, "the sink to miss its broker")
        assert service.health()["parts"]["broker"]["reason"]
        broker.start()
        service.wait_healthy()
        load(url, _RUNS_A_TURN)
        wait_until_stored(2 * _RUNS_A_TURN, spec)
        assert queue_depth(url, sink_queue(name).dead_letters) == 0
        assert service.stop() == 0


def test_a_broker_that_is_shut_down_and_started_loses_and_duplicates_nothing(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "events.db"
    a_broker_that_goes_and_comes_back(
        broker, broker.stop, amqp_vhost_url, "sqlite", f"sqlite:{path}", sqlite_path=path
    )


def test_a_broker_that_is_killed_and_started_loses_and_duplicates_nothing(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    a_broker_that_goes_and_comes_back(broker, broker.kill, amqp_vhost_url, "csv", f"csv:{path}", csv_dir=path)


class SinkUnderFire:
    name: str

    def sink(self, url: str, place: dict[str, object], number: int) -> Service:
        return Service(f"{self.name}_sink", amqp_url=url, instance=f"replica-{number}", **place)

    def nothing_is_parked(self, url: str) -> bool:
        return queue_depth(url, sink_queue(self.name).dead_letters) == 0

    def test_repeatedly_killed_replicas_store_everything_once(
        self, amqp_vhost_url: str, place: dict[str, object], spec: str
    ) -> None:
        """Three compete; one after the other is killed in the middle of its work and started anew."""
        redelivered = 0.0
        with ExitStack() as running, ThreadPoolExecutor(1) as pool:
            replicas = [running.enter_context(self.sink(amqp_vhost_url, place, n)) for n in range(3)]
            for number in range(_KILLS):
                for replica in replicas:
                    replica.wait_healthy()
                victim = replicas[number % 3]
                before = counted(victim, EVENTS)
                loading = pool.submit(load, amqp_vhost_url, _RUNS_A_TURN)
                wait_until(partial(self.has_stored_more, victim, before), 30, "the victim to work")
                redelivered += counted(victim, REDELIVERIES)
                victim.kill()
                loading.result()
                replicas[number % 3] = running.enter_context(self.sink(amqp_vhost_url, place, number % 3))
            wait_until_stored(_KILLS * _RUNS_A_TURN, spec)
            assert self.nothing_is_parked(amqp_vhost_url)
            redelivered += sum(counted(replica.wait_healthy(), REDELIVERIES) for replica in replicas)
            assert redelivered > 0
            assert [replica.stop() for replica in replicas] == [0, 0, 0]

    def has_stored_more(self, service: Service, before: float) -> bool:
        return counted(service, EVENTS) > before


class TestSqliteSinkUnderFire(SqliteKind, SinkUnderFire):
    pass


class TestCsvSinkUnderFire(CsvKind, SinkUnderFire):
    pass


class TestPostgresSinkUnderFire(PostgresKind, SinkUnderFire):
    def test_messages_wait_for_a_database_that_is_down(
        self, postgres: Server, amqp_vhost_url: str, place: dict[str, object], spec: str
    ) -> None:
        with self.sink(amqp_vhost_url, place, 0) as service:
            service.wait_healthy()
            load(amqp_vhost_url, _RUNS_A_TURN)
            postgres.kill()
            load(amqp_vhost_url, _RUNS_A_TURN)
            wait_until(self.says_that_the_store_is_away(service), 30, "the sink to miss its store")
            assert service.get("/healthz")[0] == 503
            postgres.start()
            wait_until_stored(2 * _RUNS_A_TURN, spec)
            service.wait_healthy()
            assert self.nothing_is_parked(amqp_vhost_url)

    def test_a_sink_may_start_before_its_database(
        self, postgres: Server, amqp_vhost_url: str, place: dict[str, object], spec: str
    ) -> None:
        postgres.stop()
        with self.sink(amqp_vhost_url, place, 0) as service:
            wait_until(self.says_that_the_store_is_away(service), 30, "the sink to miss its store")
            load(amqp_vhost_url, 1)
            postgres.start()
            service.wait_healthy()
            wait_until_stored(1, spec)

    def says_that_the_store_is_away(self, service: Service) -> Callable[[], bool]:
        return lambda: service.health().get("parts", {}).get("store", {}).get("ok") is False
