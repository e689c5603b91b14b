"""Bounds the bytes that a consumer prefetches: RabbitMQ bounds only the number of messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from taskgen.amqp.channel import Channel, Delivery
from taskgen.consumer.settings import ConsumerSettings

HELD_BYTES: Final = 8 * 1024 * 1024
"""Limit of the bodies that wait here; a single message may be larger."""
FIRST_PREFETCH: Final = 8
"""Until the sizes of the messages are known: as many as fit if all have 1 MiB."""


class Intake:
    """Consumes a queue with as large a prefetch as the sizes of its latest messages allow.

    If larger messages arrive, those beyond the bound are not kept. Once everything before them is processed,
    they go back to the queue, and the subscription is renewed with a smaller prefetch: each goes back once,
    and hardly ever a second time.

    Args:
        channel: used for nothing else.
        queue: its name.
        settings: limit prefetch and batches.
    """

    def __init__(self, channel: Channel, queue: str, settings: ConsumerSettings) -> None:
        self._channel = channel
        self._queue = queue
        self._settings = settings
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._held_bytes = 0
        self._returned: list[int] = []
        """Tags of the messages that were not kept."""
        self._sizes = deque([HELD_BYTES // FIRST_PREFETCH], maxlen=2 * settings.prefetch)
        """Sizes of the latest messages, as many as can exceed the bound together."""
        self._prefetch = min(FIRST_PREFETCH, settings.prefetch)
        self._unacknowledged = 0
        """Number of messages that were processed since the last acknowledgement."""
        self._consumer = ""

    async def subscribe(self) -> None:
        """Start consuming."""
        await self._channel.set_prefetch(self._prefetch)
        self._consumer = await self._channel.consume(self._queue, self._take)

    async def next_batch(self) -> list[Delivery]:
        """Wait for messages; returns at least one, and at most a batch."""
        batch = [await self._arrived.get()]
        size = len(batch[0].body)
        messages, max_size = self._settings.batch_messages, self._settings.batch_bytes
        while len(batch) < messages and size < max_size and not self._arrived.empty():
            batch.append(self._arrived.get_nowait())
            size += len(batch[-1].body)
        self._held_bytes -= size
        return batch

    async def acknowledge(self, batch: Sequence[Delivery]) -> bool:
        """Acknowledge the latest batch, and those before it.

        While the prefetch is smaller than it could be, this waits until all that the broker may send was
        processed, as only then can it grow; otherwise it could stay small indefinitely.

        Returns:
            Whether the subscription was renewed: another consumer of the queue may become the active one.
        """
        self._unacknowledged += len(batch)
        is_new, is_all_here = False, self._unacknowledged >= self._prefetch
        if not self._arrived.empty() and not is_all_here and self._fitting >= 2 * self._prefetch:
            return False
        if self._arrived.empty() and (self._returned or is_all_here):
            is_new = await self._fit()
        self._channel.acknowledge(batch[-1].tag, up_to=True)
        self._unacknowledged = 0
        return is_new

    @property
    def _fitting(self) -> int:
        """As large a prefetch as the sizes of the latest messages allow."""
        return min(max(HELD_BYTES // max(self._sizes), 1), self._settings.prefetch)

    def _take(self, delivery: Delivery) -> None:
        size = len(delivery.body)
        self._sizes.append(size)
        if self._returned or (self._held_bytes and self._held_bytes + size > HELD_BYTES):
            self._returned.append(delivery.tag)
            return
        self._held_bytes += size
        self._arrived.put_nowait(delivery)

    async def _fit(self) -> bool:
        """Renew the subscription if messages were too large, or twice as many would fit.

        Called while nothing waits here and the broker may not send more, because messages in transit would
        have to go back, too.
        """
        fitting = self._fitting
        if not self._returned and fitting < 2 * self._prefetch:
            return False
        await self._channel.cancel(self._consumer)
        for tag in self._returned:
            self._channel.give_back(tag)
        self._returned.clear()
        self._prefetch = fitting
        await self.subscribe()
        return True
