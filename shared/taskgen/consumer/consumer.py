"""Consumes a queue in batches; messages are acknowledged once their changes are committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from taskgen.amqp import topology
from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection, connection
from taskgen.amqp.dead_letters import dead_letter
from taskgen.amqp.management import add_limits
from taskgen.amqp.reconnect import stay_connected
from taskgen.amqp.topology import declare
from taskgen.backoff import Backoff
from taskgen.consumer.prefetch import Intake
from taskgen.consumer.settings import ConsumerSettings
from taskgen.errors import (
    BrokerUnavailableError,
    MessageError,
    StoreUnavailableError,
    UnroutableError,
    UnstorableError,
    first_error,
)
from taskgen.messages.codec import EventsMessage, Message, read_message
from taskgen.runtime.health import Health, Metrics
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_SLOW_S: Final = 10.0
"""A store that takes longer for a batch is reported as not answering."""

T = TypeVar("T")


class Processor(Protocol):
    """Takes messages in batches. All but `committed` are called in one worker thread, one at a time."""

    def check(self) -> None:
        """See that a batch could be committed now; called before messages are asked for.

        Each message that is held when the process dies comes closer to its delivery limit, so none is held
        for a store that does not take writes.

        Raises:
            StoreUnavailableError: not now; called again after a pause.
        """

    def begin(self) -> None:
        """Begin a batch.

        Raises:
            StoreUnavailableError: not now; called again after a pause.
        """

    def take(self, message: Message, delivery: Delivery) -> None:
        """Take one message; nothing needs to be durable before `commit`.

        Raises:
            MessageError: it is to be dead-lettered, and has changed nothing.
            StoreUnavailableError: not now; the batch is abandoned, and begun again after a pause.
        """

    def commit(self) -> None:
        """Commit the batch durably.

        Raises:
            StoreUnavailableError: not now; called again after a pause, with nothing in between.
            UnstorableError: the store will never take this batch.
        """

    def abandon(self) -> None:
        """Forget the batch: everything taken since `begin` will be delivered again."""

    async def committed(self, channel: Channel) -> None:
        """Publish the consequences of a commit: called in the loop before the messages are acknowledged.

        Args:
            channel: confirms; belongs to another connection than the consumer's.
        """


@dataclass(slots=True)
class Batch:
    """Messages that a processor takes together, and their fate."""

    deliveries: Sequence[Delivery]
    taken: list[Message] = field(default_factory=list)
    rejected: list[tuple[Delivery, str]] = field(default_factory=list)
    """Those to be dead-lettered, with the reasons."""
    _is_filled: bool = False

    def store(self, processor: Processor) -> None:
        """Pass the messages to the processor, and commit; after a `StoreUnavailableError`, call it again.

        Raises:
            StoreUnavailableError: not now.
            UnstorableError: the store will never take this batch.
        """
        if not self._is_filled:
            self._fill(processor)
        processor.commit()

    def _fill(self, processor: Processor) -> None:
        processor.begin()
        self.taken, self.rejected = [], []
        try:
            for delivery in self.deliveries:
                try:
                    message = read_message(delivery.body)
                    processor.take(message, delivery)
                except MessageError as error:
                    self.rejected.append((delivery, str(error)))
                else:
                    self.taken.append(message)
        except BaseException:
            processor.abandon()
            raise
        self._is_filled = True

    def abandon(self, processor: Processor) -> None:
        """Have the processor forget everything that is not committed."""
        if self._is_filled:
            processor.abandon()


async def consume(
    settings: ConsumerSettings,
    queue: topology.Queue,
    processor: Processor,
    health: Health,
    *,
    beside: Callable[[Consumer], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Consume a queue until cancelled; reconnect whenever the connection to the broker breaks.

    Args:
        settings: where the broker is, and how much to take at a time.
        queue: declared with its queue of dead letters if it is not there.
        processor: gets the messages.
        health: its parts `broker`, `consuming` and `store` are kept up to date.
        beside: runs while messages are consumed, and again, from its beginning, after every reconnection.

    Raises:
        CredentialsError: the broker or the store refuses this user.
        TopologyError: the queue exists with other arguments.
        StoreError: the store will never work.
    """
    health.set("consuming", False, "not yet")
    with ThreadPoolExecutor(1, thread_name_prefix=queue.name) as worker:
        consumer = Consumer(settings, queue, processor, health, worker, beside)
        try:
            await stay_connected(settings.amqp_url, consumer.name, consumer.serve, health.set_broker)
        except BaseExceptionGroup as group:
            raise first_error(group) from group
        finally:
            health.set("consuming", False, "ending")


class Consumer:
    """A queue's consumer; `beside` may use its public members, as long as the connections stand."""

    publishing: Connection
    """For further channels."""
    out: Channel
    """Confirms; the one that `Processor.committed` is given."""

    def __init__(
        self,
        settings: ConsumerSettings,
        queue: topology.Queue,
        processor: Processor,
        health: Health,
        worker: ThreadPoolExecutor,
        beside: Callable[[Consumer], Coroutine[Any, Any, None]] | None,
    ) -> None:
        self.name = f"{queue.name} {settings.instance}"
        self._settings = settings
        self._queue = queue
        self._processor = processor
        self._health = health
        self._worker = worker
        self._beside = beside
        self._turn = asyncio.Lock()
        self._is_prepared = False

    async def between_batches(self, call: Callable[[], T]) -> T:
        """Run something in the worker thread while no batch is begun."""
        async with self._turn:
            return await self._in_worker(call)

    async def serve(self, consuming: Connection) -> None:
        """Use one connection until it breaks."""
        async with connection(self._settings.amqp_url, f"{self.name} publishing") as self.publishing:
            await declare(self.publishing, [self._queue])
            if not self._is_prepared:
                await add_limits(self._settings, [self._queue])
                self._is_prepared = True
            self.out = await self.publishing.channel(confirms=True)
            incoming = await consuming.channel()
            await _until_lost([incoming, self.out], self._work(incoming))

    async def _work(self, incoming: Channel) -> None:
        self._health.set("consuming", False, "waiting until the store accepts writes")
        await self._retried(self._processor.check)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consume(incoming))
            if self._beside is not None:
                group.create_task(self._beside(self))

    async def _consume(self, incoming: Channel) -> None:
        intake = Intake(incoming, self._queue.name, self._settings)
        await intake.subscribe()
        self._health.set("consuming", True)
        try:
            while True:
                batch = Batch(await intake.next_batch())
                async with self._turn:
                    await self._store(batch)
                await self._dead_letter(batch)
                if await intake.acknowledge(batch.deliveries):
                    await self.between_batches(self._processor.abandon)  # another one may be given the queue
                _count(self._health.metrics, batch)
        finally:
            self._health.set("consuming", False, "the connection to the broker broke")

    async def _store(self, batch: Batch) -> None:
        """Commit a batch; if the store refuses it, commit its messages one by one."""
        try:
            await self._retried(lambda: batch.store(self._processor))
        except BaseException as error:
            await self._in_worker(lambda: batch.abandon(self._processor))
            if not isinstance(error, UnstorableError):
                raise
            await self._store_one_by_one(batch, error)
        else:
            await self._processor.committed(self.out)

    async def _store_one_by_one(self, batch: Batch, error: UnstorableError) -> None:
        if len(batch.deliveries) == 1:
            batch.taken, batch.rejected = [], [(batch.deliveries[0], brief(error))]
            return
        log.warning("a batch was refused; retrying its messages one by one: %s", error)
        batch.taken, batch.rejected = [], []
        for delivery in batch.deliveries:
            alone = Batch([delivery])
            await self._store(alone)
            batch.taken += alone.taken
            batch.rejected += alone.rejected

    async def _dead_letter(self, batch: Batch) -> None:
        for delivery, reason in batch.rejected:
            log.warning(
                "dead-lettered in %s: a message with key %r: %s",
                self._queue.dead_letters,
                delivery.routing_key,
                reason,
            )
        try:
            await asyncio.gather(*(dead_letter(self.out, self._queue.name, *one) for one in batch.rejected))
        except UnroutableError as error:  # somebody deleted the queue of dead letters: it is declared again
            raise BrokerUnavailableError(str(error)) from error

    async def _retried(self, call: Callable[[], T]) -> T:
        """Call in the worker thread, and retry with back-off while the store is unavailable."""
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
        """Call in the worker thread; while the call takes long, report the store as not answering."""
        running = asyncio.get_running_loop().run_in_executor(self._worker, call)
        try:
            done, _ = await asyncio.wait({running}, timeout=_SLOW_S)
            if not done:
                self._health.set("store", False, f"no answer for {_SLOW_S:g} s")
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


def _count(metrics: Metrics, batch: Batch) -> None:
    metrics.batch.observe(len(batch.deliveries))
    metrics.bytes.inc(sum(len(delivery.body) for delivery in batch.deliveries))
    metrics.redeliveries.inc(sum(delivery.is_redelivered for delivery in batch.deliveries))
    metrics.dead_letters.inc(len(batch.rejected))
    for message in batch.taken:
        if isinstance(message, EventsMessage):
            metrics.frames.inc(len(message.events.frames))
            metrics.events.inc(len(message.events))
            metrics.observe_lag(message.events.frames[-1].received_at)
