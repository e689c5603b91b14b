"""A channel: requests to the broker are awaited, and its refusals become this library's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, Final

import pika
from pika.channel import Channel as RawChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker, ShortStringTooLong

from taskgen.errors import (
    BrokerError,
    BrokerUnavailableError,
    CredentialsError,
    LockedError,
    TopologyError,
    UnroutableError,
)

_BY_REPLY_CODE: Final[dict[int, type[BrokerError]]] = {
    403: CredentialsError,
    404: TopologyError,
    405: LockedError,
    406: TopologyError,
}
_PERSISTENT: Final = 2
_Waiting = asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was delivered and is not acknowledged yet."""

    tag: int
    body: bytes
    routing_key: str
    message_id: str
    headers: Mapping[str, Any]
    is_redelivered: bool


@dataclass(frozen=True, slots=True)
class QueueState:
    """The state of a queue."""

    name: str
    messages: int
    """Ready to be delivered."""
    consumers: int


class Channel:
    """An open channel; made by `Connection.channel`. An error closes it for good."""

    def __init__(self, raw: RawChannel, connection_lost: asyncio.Future[None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """A future that fails with `BrokerError` when the channel breaks or a consumer is cancelled."""
        self._raw = raw
        self._waiting: set[_Waiting] = set()
        self._unconfirmed: dict[int, tuple[_Waiting, str]] = {}
        """By delivery tag; each with its message id."""
        self._tag_by_message_id: dict[str, int] = {}
        self._next_tag = 1
        self._is_confirming = False
        self._getting: _Waiting | None = None
        raw.add_on_close_callback(self._on_close)
        raw.add_on_cancel_callback(self._on_cancel)
        raw.add_on_return_callback(self._on_return)
        raw.add_callback(self._on_get_empty, [pika.spec.Basic.GetEmpty], one_shot=False)
        connection_lost.add_done_callback(self._on_connection_lost)

    async def confirm(self) -> None:
        """Have the broker confirm messages that are published on this channel from now on."""
        await self._ask(partial(self._raw.confirm_delivery, self._on_confirm))
        self._is_confirming = True

    async def set_prefetch(self, count: int) -> None:
        """Limit how many unacknowledged messages each consumer that starts from now on may hold."""
        await self._ask(self._raw.basic_qos, prefetch_count=count, global_qos=False)

    async def declare_exchange(self, name: str, kind: str) -> None:
        """Declare a durable exchange."""
        await self._ask(self._raw.exchange_declare, exchange=name, exchange_type=kind, durable=True)

    async def find_exchange(self, name: str) -> None:
        """Check that an exchange exists, without declaring it; no permission is needed."""
        await self._ask(self._raw.exchange_declare, exchange=name, passive=True)

    async def declare_queue(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        durable: bool = True,
        exclusive: bool = False,
    ) -> QueueState:
        """Declare a queue; for an empty name the broker chooses one."""
        frame = await self._ask(
            self._raw.queue_declare,
            queue=name,
            durable=durable,
            exclusive=exclusive,
            arguments=dict(arguments or {}),
        )
        return QueueState(frame.method.queue, frame.method.message_count, frame.method.consumer_count)

    async def queue_state(self, name: str) -> QueueState:
        """The state of a queue, without declaring it."""
        frame = await self._ask(self._raw.queue_declare, queue=name, passive=True)
        return QueueState(name, frame.method.message_count, frame.method.consumer_count)

    async def delete_queue(self, name: str) -> None:
        """Delete a queue and its messages."""
        await self._ask(self._raw.queue_delete, queue=name)

    async def bind(
        self, queue: str, exchange: str, key: str, arguments: Mapping[str, str] | None = None
    ) -> None:
        """Bind a queue to an exchange; for a headers exchange the arguments count."""
        await self._ask(partial(self._raw.queue_bind, queue, exchange, key, arguments))

    def publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        message_id: str,
        *,
        headers: Mapping[str, Any] | None = None,
        is_persistent: bool = True,
    ) -> asyncio.Future[None]:
        """Publish a message; the future is done when it is in a queue, on disk.

        On a channel without confirms the future is done at once, and proves nothing. An error other than
        `UnroutableError` says "unknown": publish it again with the same id.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=_PERSISTENT if is_persistent else 1,
            message_id=message_id,
            headers=dict(headers) if headers else None,
        )
        try:
            self._raw.basic_publish(exchange, key, body, properties, mandatory=self._is_confirming)
        except ShortStringTooLong:
            _fail(done, UnroutableError(f"no queue can have a key of {len(key)} characters: {key:.50}..."))
            return done
        except AMQPError as error:
            _fail(done, BrokerUnavailableError(f"the channel is closed: {error!r}"))
            return done
        if not self._is_confirming:
            done.set_result(None)
            return done
        self._unconfirmed[self._next_tag] = done, message_id
        self._tag_by_message_id[message_id] = self._next_tag
        self._next_tag += 1
        return done

    async def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        *,
        arguments: Mapping[str, Any] | None = None,
    ) -> str:
        """Consume a queue: messages are given to the callback in the loop; returns the consumer's tag."""
        tags: list[str] = []

        def take(_: object, method: Any, properties: Any, body: bytes) -> None:  # noqa: ANN401 - pika's
            on_delivery(_delivery(method, properties, body))

        def ask(callback: Callable[[Any], None]) -> None:
            more = dict(arguments or {})
            tags.append(self._raw.basic_consume(queue, take, arguments=more, callback=callback))

        await self._ask(ask)
        return tags[0]

    async def cancel(self, consumer: str) -> None:
        """Cancel a consumer."""
        await self._ask(self._raw.basic_cancel, consumer_tag=consumer)

    async def get(self, queue: str) -> Delivery | None:
        """Get one message, if there is one; call it once at a time."""
        self._getting = asyncio.get_running_loop().create_future()
        try:
            self._tell(partial(self._raw.basic_get, queue, self._on_get))
            delivery: Delivery | None = await self._getting
            return delivery
        finally:
            self._getting = None

    def acknowledge(self, tag: int, *, up_to: bool = False) -> None:
        """Acknowledge a message, or all up to it."""
        self._tell(partial(self._raw.basic_ack, tag, multiple=up_to))

    def give_back(self, tag: int) -> None:
        """Return a message to its queue."""
        self._tell(partial(self._raw.basic_nack, tag, requeue=True))

    async def close(self) -> None:
        """Close the channel; unacknowledged messages go back to their queues."""
        if self._raw.is_open:
            self._tell(self._raw.close)
            await asyncio.wait({self.lost}, timeout=5)

    async def _ask(self, method: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401 - a frame of pika's
        """Call a method of pika that answers through a callback."""
        answer: _Waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        try:
            self._tell(partial(method, callback=partial(resolve, answer), **arguments))
            return await answer
        finally:
            self._waiting.discard(answer)

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except AMQPError as error:
            raise BrokerUnavailableError(f"the channel is closed: {error!r}") from error

    def _on_get(self, _: object, method: Any, properties: Any, body: bytes) -> None:  # noqa: ANN401 - pika's
        if self._getting is not None:
            resolve(self._getting, _delivery(method, properties, body))

    def _on_get_empty(self, _: object) -> None:
        if self._getting is not None:
            resolve(self._getting, None)

    def _on_confirm(self, frame: Any) -> None:  # noqa: ANN401 - a frame of pika's
        tag, is_acknowledged = frame.method.delivery_tag, isinstance(frame.method, pika.spec.Basic.Ack)
        tags = list(takewhile(lambda t: t <= tag, self._unconfirmed)) if frame.method.multiple else [tag]
        for each in tags:
            if each not in self._unconfirmed:
                continue
            done, message_id = self._unconfirmed.pop(each)
            self._tag_by_message_id.pop(message_id, None)
            if is_acknowledged:
                resolve(done, None)
            else:
                _fail(done, BrokerUnavailableError("the broker could not store a message"))

    def _on_return(self, _: object, method: Any, properties: Any, __: bytes) -> None:  # noqa: ANN401 - pika's
        tag = self._tag_by_message_id.get(properties.message_id, -1)
        if tag in self._unconfirmed:
            where = f"exchange {method.exchange!r}, key {method.routing_key!r}"
            _fail(self._unconfirmed[tag][0], UnroutableError(f"no queue accepts messages of {where}"))

    def _on_cancel(self, _: object) -> None:
        self._break(BrokerUnavailableError("the broker cancelled a consumer"))

    def _on_close(self, _: object, reason: BaseException) -> None:
        kind: type[BrokerError] = BrokerUnavailableError
        if isinstance(reason, ChannelClosedByBroker):
            kind = _BY_REPLY_CODE.get(reason.reply_code, BrokerUnavailableError)
        if kind is not CredentialsError and not self._waiting:
            # The request was not wrong: a queue was deleted, or a delivery was held for too long.
            kind = BrokerUnavailableError
        self._break(kind(getattr(reason, "reply_text", "") or repr(reason)))

    def _on_connection_lost(self, lost: asyncio.Future[None]) -> None:
        error = None if lost.cancelled() else lost.exception()
        self._break(error if isinstance(error, BrokerError) else BrokerUnavailableError("connection closed"))

    def _break(self, error: BrokerError) -> None:
        waiting = [*self._waiting, *(done for done, _ in self._unconfirmed.values()), self.lost]
        if self._getting is not None:
            waiting.append(self._getting)
        self._unconfirmed.clear()
        self._tag_by_message_id.clear()
        for future in waiting:
            _fail(future, error)


def resolve(future: asyncio.Future[Any], value: object) -> None:
    """Resolve a future, unless its waiter was cancelled."""
    if not future.done():
        future.set_result(value)


def _delivery(method: Any, properties: Any, body: bytes) -> Delivery:  # noqa: ANN401 - objects of pika's
    return Delivery(
        tag=method.delivery_tag,
        body=body,
        routing_key=_text(method.routing_key),
        message_id=_text(properties.message_id or ""),
        headers={_text(name): value for name, value in (properties.headers or {}).items()},
        is_redelivered=method.redelivered,
    )


def _text(value: str | bytes) -> str:
    """A text of a message's properties; pika leaves invalid UTF-8 as bytes."""
    return value if isinstance(value, str) else value.decode(errors="backslashreplace")


def _fail(future: asyncio.Future[Any], error: BrokerError) -> None:
    """Fail a future, unless it is done; the error counts as seen, as a channel may have no waiter left."""
    if not future.done():
        future.set_exception(error)
        future.exception()
