"""A processor behind a queue: messages come in batches and are acknowledged after the commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from taskgen.amqp import topology
from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection, connection
from taskgen.amqp.dead_letters import park
from taskgen.amqp.declaring import declare
from taskgen.amqp.management import add_limits
from taskgen.amqp.reconnect import stay_connected
from taskgen.backoff import Backoff
from taskgen.consumer.prefetch import Intake
from taskgen.consumer.processor import Batches, BatchResult, Processor, RejectedMessage
from taskgen.errors import (
    BrokerUnavailableError,
    StoreUnavailableError,
    UnroutableError,
    UnstorableError,
    first_error,
)
from taskgen.messages.codec import EventsMessage, Message
from taskgen.runtime.health import Health, Metrics
from taskgen.runtime.settings import ServiceSettings
from taskgen.untrusted_text import brief

__all__ = ["Hosted", "Processor", "host"]

log = logging.getLogger(__name__)

_LATE_S: Final = 10.0
"""So long a store may take for a batch before it is said to be away."""

T = TypeVar("T")


async def host(
    settings: ServiceSettings,
    queue: topology.Queue,
    processor: Processor,
    health: Health,
    *,
    beside: Callable[[Hosted], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Consume a queue until cancelled; one that breaks off from the broker comes back.

    Args:
        settings: where the broker is.
        queue: declared with its parking queue if it is not there.
        processor: gets the messages.
        health: its parts `broker`, `consuming` and `store` say how things are.
        beside: runs while messages are consumed, and again, from its beginning, after every reconnection.

    Raises:
        CredentialsError: the broker or the store refuses this user.
        TopologyError: the queue exists with other arguments.
        StoreError: the store will never work.
    """
    health.set("consuming", False, "not yet")
    with ThreadPoolExecutor(1, thread_name_prefix=queue.name) as worker:
        hosting = _Hosting(settings, queue, processor, health, worker, beside)
        try:
            await stay_connected(settings.amqp_url, hosting.name, hosting.serve, health)
        except BaseExceptionGroup as group:
            raise first_error(group) from group
        finally:
            health.set("consuming", False, "ending")


class Hosted:
    """What work beside the consuming may use, as long as the connections stand."""

    def __init__(self, hosting: _Hosting, publishing: Connection, channel: Channel) -> None:
        self._hosting = hosting
        self.connection = publishing
        """The one for publishing: for channels of one's own."""
        self.channel = channel
        """Confirms; the one that `Processor.committed` is given."""

    async def between_batches(self, call: Callable[[], T]) -> T:
        """Run something in the processor's thread while it has no batch begun."""
        return await self._hosting.between_batches(call)


class _Hosting:
    def __init__(
        self,
        settings: ServiceSettings,
        queue: topology.Queue,
        processor: Processor,
        health: Health,
        worker: ThreadPoolExecutor,
        beside: Callable[[Hosted], Coroutine[Any, Any, None]] | None,
    ) -> None:
        self.name = f"{queue.name} {settings.instance}"
        self._settings = settings
        self._queue = queue
        self._processor = processor
        self._batches = Batches(processor)
        self._health = health
        self._worker = worker
        self._beside = beside
        self._turn = asyncio.Lock()
        self._is_prepared = False

    async def serve(self, consuming: Connection) -> None:
        """Use one connection until it breaks."""
        async with connection(self._settings.amqp_url, f"{self.name} publishing") as publishing:
            await self._prepare(publishing)
            out = await publishing.channel(confirms=True)
            incoming = await consuming.channel()
            await _until_lost([incoming, out], self._work(incoming, Hosted(self, publishing, out)))

    async def _prepare(self, publishing: Connection) -> None:
        await declare(publishing, [self._queue])
        if not self._is_prepared:
            await add_limits(self._settings, [self._queue])
            self._is_prepared = True

    async def between_batches(self, call: Callable[[], T]) -> T:
        """See `Hosted`."""
        async with self._turn:
            return await self._in_worker(call)

    async def _work(self, incoming: Channel, hosted: Hosted) -> None:
        self._health.set("consuming", False, "waits until the store takes writes")
        await self._patiently(self._batches.check)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consume(incoming, hosted.channel))
            if self._beside is not None:
                group.create_task(self._beside(hosted))

    async def _consume(self, incoming: Channel, out: Channel) -> None:
        intake = Intake(incoming, self._queue.name)
        await intake.subscribe()
        self._health.set("consuming", True)
        try:
            while True:
                batch = await intake.next_batch()
                async with self._turn:
                    filled = await self._stored(batch, out)
                await self._parked(filled.poison, out)
                if await intake.acknowledge(batch):
                    await self.between_batches(self._processor.abandon)  # another one may be given the queue
                _count(self._health.metrics, batch, filled)
        finally:
            self._health.set("consuming", False, "the connection to the broker broke")

    async def _stored(self, batch: Sequence[Delivery], out: Channel) -> BatchResult:
        """Have a batch committed; a message that the store will never take is poison."""
        try:
            return await self._committed(batch, out)
        except UnstorableError as error:
            if len(batch) == 1:
                return BatchResult(poison=[RejectedMessage(batch[0], brief(error))])
            log.warning("a batch was refused, its messages are tried one by one: %s", error)
        whole = BatchResult()
        for delivery in batch:
            filled = await self._stored([delivery], out)
            whole.taken += filled.taken
            whole.poison += filled.poison
        return whole

    async def _committed(self, batch: Sequence[Delivery], out: Channel) -> BatchResult:
        try:
            filled = await self._patiently(partial(self._batches.fill, batch))
            await self._patiently(self._batches.commit)
        except BaseException:
            await self._in_worker(self._batches.abandon)
            raise
        await self._processor.committed(out)
        return filled

    async def _parked(self, poison: Sequence[RejectedMessage], out: Channel) -> None:
        for one in poison:
            log.warning(
                "parked in %s: a message of key %r: %s",
                self._queue.parked,
                one.delivery.routing_key,
                one.reason,
            )
        try:
            await asyncio.gather(*(park(out, self._queue.name, one.delivery, one.reason) for one in poison))
        except UnroutableError as error:  # somebody deleted the parking queue: it is declared again
            raise BrokerUnavailableError(str(error)) from error

    async def _patiently(self, call: Callable[[], T]) -> T:
        """Call in the worker thread, again and again while the store is away."""
        backoff = Backoff()
        while True:
            try:
                result = await self._in_worker(call)
            except StoreUnavailableError as error:
                self._health.set("store", False, str(error))
                self._health.metrics.store_retries.inc()
                await backoff.pause()
            else:
                self._health.set("store", True)
                return result

    async def _in_worker(self, call: Callable[[], T]) -> T:
        """Call in the worker thread; one that does not come back is not waited for in silence."""
        running = asyncio.get_running_loop().run_in_executor(self._worker, call)
        try:
            done, _ = await asyncio.wait({running}, timeout=_LATE_S)
            if not done:
                self._health.set("store", False, f"no answer for {_LATE_S:g} s")
                await asyncio.wait({running})
                self._health.set("store", True)
            return running.result()
        finally:
            running.cancel()  # if it has not begun


async def _until_lost(channels: Sequence[Channel], work: Coroutine[Any, Any, None]) -> None:
    """Work; a channel that breaks ends it with the channel's error."""
    task = asyncio.create_task(work)
    lost = [channel.lost for channel in channels]
    try:
        await asyncio.wait([task, *lost], return_when=asyncio.FIRST_COMPLETED)
        for future in (*lost, task):
            if future.done():
                await future
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _count(metrics: Metrics, batch: Sequence[Delivery], filled: BatchResult) -> None:
    metrics.batch.observe(len(batch))
    metrics.bytes.inc(sum(len(delivery.body) for delivery in batch))
    metrics.redeliveries.inc(sum(delivery.is_redelivered for delivery in batch))
    metrics.parked.inc(len(filled.poison))
    for message in filled.taken:
        _count_events(metrics, message)


def _count_events(metrics: Metrics, message: Message) -> None:
    if isinstance(message, EventsMessage):
        metrics.frames.inc(len(message.profiles))
        metrics.events.inc(sum(len(one.events) for one in message.profiles))
        metrics.observe_lag(message.profiles[-1].received_at)
