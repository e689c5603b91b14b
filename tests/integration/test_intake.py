"""However the sizes of its messages change, a consumer holds few bytes, and costs them few deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from taskgen.amqp.channel import Delivery
from taskgen.amqp.connection import connection
from taskgen.amqp.topology import sink_queue
from taskgen.consumer.prefetch import FIRST_PREFETCH, HELD_BYTES, Intake
from taskgen.consumer.settings import ConsumerSettings
from tests.support.broker_client import declare_queues, publish_to_queue

pytestmark = pytest.mark.servers

QUEUE = sink_queue("sqlite")
SMALL = [100] * 700
"""So many that the consumer asks for as many as it ever does."""
LARGE = [128 * 1024] * 300
"""More than fit, and than it has asked for."""
A_FEW = 3
"""Of the 20 deliveries that a message has: it goes back once, and again if it was on its way just then."""


def bodies(sizes: Sequence[int]) -> list[bytes]:
    return [f"{number:06}".encode().ljust(size) for number, size in enumerate(sizes)]


def taken(url: str, count: int, **settings: Any) -> tuple[list[list[Delivery]], int]:
    """That many messages in their batches, and how many bytes were held at most."""

    async def take() -> tuple[list[list[Delivery]], int]:
        held, most_held, found = 0, 0, list[list[Delivery]]()

        class Watched(Intake):
            def _take(self, delivery: Delivery) -> None:
                nonlocal held, most_held
                waiting = self._arrived.qsize()
                super()._take(delivery)
                held += len(delivery.body) if self._arrived.qsize() > waiting else 0
                most_held = max(most_held, held)

        async with connection(url, "test") as link:
            channel = await link.channel()
            intake = Watched(channel, QUEUE.name, ConsumerSettings(**settings))
            await intake.subscribe()
            while sum(map(len, found)) < count:
                batch = await intake.next_batch()
                held -= sum(len(one.body) for one in batch)
                await asyncio.sleep(0.01)  # as work does, so that the broker can send what it may
                await intake.acknowledge(batch)
                found.append(batch)
        return found, most_held

    return asyncio.run(take())


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([*SMALL, *LARGE, *SMALL, *LARGE], id="small ones, then large ones"),
        pytest.param([*SMALL, *LARGE[:100], *(4 * size for size in LARGE[:50])], id="ever larger ones"),
        pytest.param([*SMALL, *((100, 512 * 1024) * 60)], id="small and large ones by turns"),
        pytest.param([*SMALL, 2 * HELD_BYTES, *SMALL, 2 * HELD_BYTES, 100], id="single ones over the bound"),
    ],
)
def test_every_message_arrives_in_bounded_memory_and_is_hardly_ever_returned(
    sizes: list[int], amqp_vhost_url: str
) -> None:
    declare_queues(amqp_vhost_url, QUEUE)
    published = bodies(sizes)
    publish_to_queue(amqp_vhost_url, QUEUE.name, published)
    batches, most_held = taken(amqp_vhost_url, len(published))
    deliveries = [one for batch in batches for one in batch]
    assert sorted(one.body for one in deliveries) == published
    assert most_held <= max(HELD_BYTES, *sizes)
    assert max(one.headers.get("x-delivery-count", 0) for one in deliveries) <= A_FEW


def test_batches_and_prefetch_are_as_large_as_the_settings_say(amqp_vhost_url: str) -> None:
    declare_queues(amqp_vhost_url, QUEUE)
    publish_to_queue(amqp_vhost_url, QUEUE.name, bodies([100] * 200))
    batches, most_held = taken(amqp_vhost_url, 100, batch_messages=3, prefetch=5)
    assert max(map(len, batches)) == 3
    assert most_held <= 5 * 100
    batches, _ = taken(amqp_vhost_url, 100, batch_bytes=250)
    assert max(map(len, batches)) == 3


def test_the_prefetch_grows_although_messages_come_in_halves_of_it(amqp_vhost_url: str) -> None:
    """Half of the first prefetch is processed before the rest arrives, and so on."""
    declare_queues(amqp_vhost_url, QUEUE)
    publish_to_queue(amqp_vhost_url, QUEUE.name, bodies([100] * (FIRST_PREFETCH // 2)))
    sizes: list[int] = []

    async def take() -> None:
        async with connection(amqp_vhost_url, "test") as link:
            intake = Intake(await link.channel(), QUEUE.name, ConsumerSettings())
            await intake.subscribe()
            while sum(sizes) < 3_000:
                batch = await intake.next_batch()
                if not sizes:
                    await asyncio.to_thread(
                        publish_to_queue, amqp_vhost_url, QUEUE.name, bodies([100] * 3_000)
                    )
                await asyncio.sleep(0.01)
                await intake.acknowledge(batch)
                sizes.append(len(batch))

    asyncio.run(take())
    assert sizes[0] <= FIRST_PREFETCH // 2
    assert max(sizes) == ConsumerSettings().batch_messages
