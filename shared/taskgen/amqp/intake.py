"""What a consumer holds of its queue, bounded in bytes: RabbitMQ bounds it in messages only."""

from __future__ import annotations

import asyncio
from typing import Final

from taskgen.amqp.channel import Channel, Delivery

MOST_PREFETCH: Final = 1_000
FIRST_PREFETCH: Final = 16
"""Until the size of this queue's messages is known."""
HELD_BYTES: Final = 16 * 1024 * 1024
"""Of bodies that wait here; a single message may be larger."""
BATCH_BYTES: Final = 1024 * 1024
"""Of bodies in one batch: once parsed, they take about ten times their size."""
BATCH: Final = 500


class Intake:
    """Subscribes to a queue with as large a prefetch as the size of its messages allows.

    Messages that would exceed the bound are not kept: they go back to the queue, and the subscription is
    renewed with a smaller prefetch. A message goes back this way once, as it is the first to come again.

    Args:
        channel: used for this alone.
        queue: its name.
    """

    def __init__(self, channel: Channel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._held_bytes = 0
        self._surplus: list[int] = []
        """Tags of the messages that were not kept."""
        self._largest = HELD_BYTES // FIRST_PREFETCH
        """Size of the largest message lately; forgotten by half with each batch."""
        self._prefetch = FIRST_PREFETCH
        self._consumer = ""

    async def subscribe(self) -> None:
        """Have the broker deliver from now on."""
        await self._channel.set_prefetch(self._prefetch)
        self._consumer = await self._channel.consume(self._queue, self._take)

    async def next_batch(self) -> list[Delivery]:
        """Wait for messages; at least one, and at most what may be in one batch."""
        await self._adapt()
        batch = [await self._arrived.get()]
        size = len(batch[0].body)
        while len(batch) < BATCH and size < BATCH_BYTES and not self._arrived.empty():
            batch.append(self._arrived.get_nowait())
            size += len(batch[-1].body)
        self._held_bytes -= size
        return batch

    def _take(self, delivery: Delivery) -> None:
        size = len(delivery.body)
        self._largest = max(self._largest, size)
        if self._surplus or (self._held_bytes and self._held_bytes + size > HELD_BYTES):
            self._surplus.append(delivery.tag)
            return
        self._held_bytes += size
        self._arrived.put_nowait(delivery)

    async def _adapt(self) -> None:
        """Subscribe anew where the prefetch no longer fits the size of the messages."""
        fitting = min(max(HELD_BYTES // self._largest, 1), MOST_PREFETCH)
        self._largest = max(self._largest // 2, 1)
        if not self._surplus and self._prefetch // 2 < fitting < 2 * self._prefetch:
            return
        await self._channel.cancel(self._consumer)
        for tag in self._surplus:
            self._channel.give_back(tag)
        self._surplus.clear()
        self._prefetch = fitting
        await self.subscribe()
