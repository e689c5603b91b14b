"""How a host treats its processor: whole batches, one thread, nothing acknowledged too early."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import connection
from taskgen.amqp.topology import EVENTS, Queue, declare, sink_queue
from taskgen.consumer.consumer import Consumer, consume
from taskgen.consumer.settings import ConsumerSettings
from taskgen.errors import MessageError, StoreError, StoreUnavailableError, UnstorableError
from taskgen.messages.codec import EndedMessage, Message
from taskgen.runtime.health import Health
from tests.support.broker_client import dead_letters_of, queue_depth
from tests.support.message_factory import ended_message, routing_key, run_head
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

QUEUE: Queue = sink_queue("sqlite")


class Recording:
    """A processor that keeps reasons of ended runs, and refuses what the test says."""

    def __init__(
        self, *, refused: tuple[str, ...] = (), takes_others: bool = True, failures: int = 0
    ) -> None:
        self.kept: list[str] = []
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self._batch: list[str] = []
        self._refused = refused
        self._takes_others = takes_others
        self._failures = failures

    def check(self) -> None:
        self._note("check")

    def begin(self) -> None:
        self._note("begin")

    def take(self, message: Message, delivery: Delivery) -> None:
        self._note("take")
        assert isinstance(message, EndedMessage)
        if message.reason == "poison":
            raise MessageError("the test says so")
        self._batch.append(message.reason)

    def commit(self) -> None:
        self._note("commit")
        if self._failures:
            self._failures -= 1
            raise StoreUnavailableError("not now")
        if {*self._batch} & {*self._refused}:
            raise (UnstorableError if self._takes_others else StoreError)("it will never work")
        self.kept += self._batch
        self._batch = []

    def abandon(self) -> None:
        self._note("abandon")
        self._batch = []

    async def committed(self, channel: Channel) -> None:
        self.calls.append("committed")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.get_ident())


def saying(reason: str) -> EndedMessage:
    return ended_message(run_head(), 0).model_copy(update={"reason": reason})


async def publish(url: str, *reasons: str) -> None:
    async with connection(url, "test") as link:
        channel = await link.channel(confirms=True)
        await declare(link, [QUEUE])
        for message in map(saying, reasons):
            await channel.publish(EVENTS, routing_key(message), message.body(), message.message_id)


async def until(holds: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, holds, 30, what)


def hosted(
    url: str, processor: Recording, meanwhile: Callable[[Health], Awaitable[object]], **options: Any
) -> Health:
    """Host until what is to happen meanwhile has happened."""

    async def work() -> Health:
        health = Health()
        settings = ConsumerSettings(amqp_url=url)
        hosting = asyncio.create_task(consume(settings, QUEUE, processor, health, **options))
        watching = asyncio.ensure_future(meanwhile(health))
        await asyncio.wait({hosting, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not hosting.done():
            await watching
        hosting.cancel()
        watching.cancel()
        (end,) = await asyncio.gather(hosting, return_exceptions=True)
        if isinstance(end, Exception):
            raise end
        return health

    return asyncio.run(work())


def test_a_message_that_the_store_refuses_is_dead_lettered_while_others_are_stored(
    amqp_vhost_url: str,
) -> None:
    processor = Recording(refused=("bad",))
    asyncio.run(publish(amqp_vhost_url, "one", "bad", "two", "poison", "three"))
    hosted(
        amqp_vhost_url,
        processor,
        lambda health: until(lambda: "three" in processor.kept and has_parked_two(health), "all kept"),
    )
    assert processor.kept == ["one", "two", "three"]
    reasons = sorted(one.reason for one in dead_letters_of(amqp_vhost_url, QUEUE.name))
    assert reasons == ["it will never work", "the test says so"]
    assert queue_depth(amqp_vhost_url, QUEUE.name) == 0


def test_such_a_message_is_dead_lettered_alone_too(amqp_vhost_url: str) -> None:
    processor = Recording(refused=("bad",))

    async def one_after_the_other(health: Health) -> None:
        await publish(amqp_vhost_url, "bad")
        await until(lambda: b"taskgen_parked_total 1.0" in health.metrics.text(), "it parked")
        await publish(amqp_vhost_url, "good")
        await until(lambda: "good" in processor.kept, "the next one kept")

    hosted(amqp_vhost_url, processor, one_after_the_other)
    assert [one.reason for one in dead_letters_of(amqp_vhost_url, QUEUE.name)] == ["it will never work"]


def has_parked_two(health: Health) -> bool:
    """Whether it has counted them, which it does after acknowledging the batch."""
    return b"taskgen_parked_total 2.0" in health.metrics.text()


def test_a_store_that_refuses_everything_ends_the_service_and_nothing_is_dead_lettered(
    amqp_vhost_url: str,
) -> None:
    asyncio.run(publish(amqp_vhost_url, "bad", "bad", "bad"))
    with pytest.raises(StoreError, match="never"):
        hosted(
            amqp_vhost_url, Recording(refused=("bad",), takes_others=False), lambda _: asyncio.Event().wait()
        )
    assert dead_letters_of(amqp_vhost_url, QUEUE.name) == []
    assert queue_depth(amqp_vhost_url, QUEUE.name) == 3


def test_a_commit_that_fails_is_retried_with_nothing_in_between(amqp_vhost_url: str) -> None:
    processor = Recording(failures=3)
    asyncio.run(publish(amqp_vhost_url, "one", "two"))
    health = hosted(amqp_vhost_url, processor, lambda _: until(lambda: "two" in processor.kept, "kept"))
    assert processor.kept == ["one", "two"]
    first = processor.calls.index("commit")
    assert processor.calls[first : first + 4] == ["commit"] * 4
    assert b"taskgen_store_retries_total 3.0" in health.metrics.text()
    assert len(processor.threads) == 1
    assert processor.threads != {threading.get_ident()}


def test_a_queue_that_is_deleted_is_declared_again_and_consumed(amqp_vhost_url: str) -> None:
    processor = Recording()

    async def delete_and_publish(health: Health) -> None:
        await until(lambda: health.is_ok, "the host to consume")
        async with connection(amqp_vhost_url, "test") as link:
            await (await link.channel()).delete_queue(QUEUE.name)
        await until(lambda: b"taskgen_reconnects_total 1.0" in health.metrics.text(), "the loss noticed")
        await until(lambda: health.is_ok, "the host to consume again")
        await publish(amqp_vhost_url, "late")
        await until(lambda: "late" in processor.kept, "kept")

    hosted(amqp_vhost_url, processor, delete_and_publish)
    assert processor.kept == ["late"]


def test_work_beside_the_consuming_runs_between_batches_in_the_same_thread(amqp_vhost_url: str) -> None:
    processor = Recording()
    rounds: list[bool] = []

    async def beside(consumer: Consumer) -> None:
        while True:
            rounds.append(await consumer.between_batches(lambda: processor._batch == []))
            await asyncio.sleep(0)

    async def busy(_: Health) -> None:
        for number in range(20):
            await publish(amqp_vhost_url, f"{number}", "end")
        await until(lambda: processor.kept.count("end") == 20, "all kept")

    hosted(amqp_vhost_url, processor, busy, beside=beside)
    assert len(rounds) > 20
    assert all(rounds)
