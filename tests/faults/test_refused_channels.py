"""A broker that closes a channel of its own accord: what was used over it goes on over another one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.distributor.leases import Leases
from taskgen.amqp.connection import connection
from taskgen.amqp.topology import TASKSETS
from taskgen.boards.address import Address
from taskgen.messages.codec import EndedMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client, publish
from tests.support.fake_distributor import FakeDistributor
from tests.support.message_factory import whole_run
from tests.support.servers.rabbitmq import Broker
from tests.support.servers.server import Server
from tests.support.services import Service
from tests.support.sink_kinds import wait_until_stored
from tests.support.tasksets import TWO_JOBS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

ENDLESS = TaskSet([Task(pkg="idle", period=10**9)])
SHORTENED = "[application:set_env(rabbit, Key, 500) || Key <- [consumer_timeout, channel_tick_interval]]."
AS_BEFORE = (
    "application:set_env(rabbit, consumer_timeout, 1800000), "
    "application:set_env(rabbit, channel_tick_interval, 60000)."
)


@contextmanager
def impatient(broker: Broker) -> Iterator[None]:
    """Let channels that are opened now hold a message for half a second, instead of half an hour."""
    broker.ctl("eval", SHORTENED)
    try:
        yield
    finally:
        broker.ctl("eval", AS_BEFORE)


def queues(broker: Broker, url: str, prefix: str) -> list[str]:
    """The names of the queues that begin so."""
    names = broker.ctl("list_queues", "-p", url.rpartition("/")[2], "name").split()
    return [name for name in names if name.startswith(prefix)]


def has_reconnected(service: Service) -> bool:
    return re.search(r"taskgen_reconnects_total [1-9]", service.get("/metrics")[1]) is not None


def test_a_sink_continues_after_its_store_was_down_for_longer_than_the_broker_waits(
    broker: Broker, postgres: Server, amqp_vhost_url: str, postgres_database: str
) -> None:
    with (
        impatient(broker),
        Service("postgres_sink", amqp_url=amqp_vhost_url, postgres_dsn=postgres_database) as service,
    ):
        service.wait_healthy()
        postgres.stop()
        publish(amqp_vhost_url, whole_run(3))
        wait_until(lambda: has_reconnected(service), 60, "the broker to lose its patience")
        postgres.start()
        service.wait_healthy()
        wait_until_stored(1, postgres_database)
        assert service.stop() == 0


def test_a_distributor_declares_a_deleted_queue_again_and_its_runs_continue(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(2, speed=50) as boards,
        broker_client(amqp_vhost_url) as lab,
        Service(
            "distributor", amqp_url=amqp_vhost_url, boards=",".join(boards), outbox_path=tmp_path
        ) as service,
    ):
        service.wait_healthy()
        lab.submit(ENDLESS)
        (first,) = lab.wait_for(StartedMessage)
        lab.delete(TASKSETS)
        wait_until(lambda: has_reconnected(service), 30, "the distributor to miss its queue")
        wait_until(lambda: TASKSETS in queues(broker, amqp_vhost_url, TASKSETS), 30, "the queue to be there")
        lab.submit(ENDLESS)
        for started in lab.wait_for(StartedMessage, 2):
            lab.decide(started, Outcome.FINISHED)
        ended = {message.run.run_id: message.outcome for message in lab.wait_for(EndedMessage, 2)}
        assert ended[first.run.run_id] is Outcome.FINISHED
        assert set(ended.values()) == {Outcome.FINISHED}


def test_a_controller_replaces_its_deleted_queue_of_statuses(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    def ears() -> list[str]:
        return queues(broker, amqp_vhost_url, "amq.gen")

    with Service(
        "controller", amqp_url=amqp_vhost_url, state_url=f"sqlite:{tmp_path / 'state.db'}"
    ) as service:
        service.wait_healthy()
        wait_until(lambda: len(ears()) == 1, 30, "the controller to listen to statuses")
        broker.ctl("delete_queue", "-p", amqp_vhost_url.rpartition("/")[2], *ears())
        wait_until(lambda: has_reconnected(service), 30, "the controller to miss its queue")
        service.wait_healthy()
        with broker_client(amqp_vhost_url) as lab:
            distributor = FakeDistributor(lab)
            distributor.hold_lease()
            lab.submit(TWO_JOBS)
            run = distributor.start(distributor.take())
            distributor.report(run, 0, "START", "EXIT", "START", "EXIT")
            distributor.wait_for_decision()

            def is_told_again() -> bool:
                distributor.status(run)
                return bool(distributor.decisions())

            wait_until(is_told_again, 30, "a status to be heard")
        assert service.stop() == 0


def test_leases_can_be_acquired_on_a_bare_broker(amqp_vhost_url: str) -> None:
    async def lease() -> None:
        leases = Leases(lambda *_: None, lambda _: None)
        async with connection(amqp_vhost_url, "test") as link:
            serving = asyncio.create_task(leases.serve(link))
            async with leases.lease(Address("127.0.0.1", 1)):
                assert not serving.done()
            serving.cancel()

    asyncio.run(lease())
