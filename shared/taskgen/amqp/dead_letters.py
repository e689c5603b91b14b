"""Dead letters: messages that a consumer could not process, kept for inspection in `<queue>.parked`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection
from taskgen.amqp.topology import dead_letter_queue, dlx, inbox
from taskgen.errors import BrokerUnavailableError, TopologyError, UnroutableError
from taskgen.run import new_id
from taskgen.untrusted_text import brief

REASON: Final = "x-taskgen-reason"
QUEUE: Final = "x-taskgen-queue"
ROUTING_KEY: Final = "x-taskgen-routing-key"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message dead-lettered by its consumer, or by the broker at the delivery limit."""

    delivery: Delivery

    @property
    def message_id(self) -> str:
        """Id of the message."""
        return self.delivery.message_id

    @property
    def reason(self) -> str:
        """Why it was dead-lettered."""
        if REASON in self.delivery.headers:
            return str(self.delivery.headers[REASON])
        return f"{self._death.get('reason', 'unknown')}, by the broker"

    @property
    def routing_key(self) -> str:
        """The key with which it reached its consumer."""
        keys = _listed(self._death.get("routing-keys")) or [""]
        return str(self.delivery.headers.get(ROUTING_KEY, keys[0]))

    @property
    def _death(self) -> dict[str, Any]:
        """The broker's header about dead-lettering, if it is valid: anybody may publish such a header."""
        deaths = _listed(self.delivery.headers.get("x-death"))
        return deaths[0] if deaths and isinstance(deaths[0], dict) else {}


def dead_letter(channel: Channel, queue: str, delivery: Delivery, reason: str) -> asyncio.Future[None]:
    """Publish a message to the dead-letter queue of its queue; done when the broker has confirmed it.

    Args:
        channel: confirms.
        queue: where it was consumed.
        delivery: the message.
        reason: why it cannot be processed.
    """
    headers = {REASON: brief(reason), QUEUE: queue, ROUTING_KEY: delivery.routing_key}
    name = delivery.message_id or new_id()
    headers = _own_headers(delivery) | headers
    return channel.publish(dlx(queue), dead_letter_queue(queue), delivery.body, name, headers=headers)


async def dead_letters(link: Connection, queue: str) -> list[DeadLetter]:
    """The dead letters of a queue; they stay there.

    Raises:
        TopologyError: there is no such queue.
    """
    channel = await link.channel()
    try:
        return [one async for one in _taken(channel, queue)]
    finally:
        await channel.close()  # which returns them all


async def redrive(link: Connection, queue: str, is_meant: Callable[[DeadLetter], bool]) -> int:
    """Requeue dead letters, at the end of their queue; returns how many.

    Args:
        link: a connection.
        queue: whose dead letters.
        is_meant: which messages; the others stay.

    Raises:
        TopologyError: the queue of dead letters does not exist, or no exchange that leads into its queue.
        UnroutableError: there is no such queue any more; nothing is lost.
        BrokerUnavailableError: the queue is full, or the connection broke; what was not put back stays.
    """
    channel = await link.channel()
    await channel.queue_state(dead_letter_queue(queue))
    out = await _leading_into(link, queue)
    count = 0
    try:
        async for one in _taken(channel, queue):
            if is_meant(one):
                name = one.message_id or new_id()
                await out.publish(
                    inbox(queue), queue, one.delivery.body, name, headers=_own_headers(one.delivery)
                )
                channel.acknowledge(one.delivery.tag)
                count += 1
    except UnroutableError as error:
        raise UnroutableError(f"the queue {queue} does not exist") from error
    except BrokerUnavailableError as error:
        raise BrokerUnavailableError(f"{count} were requeued before this error: {error}") from error
    finally:
        await channel.close()
    return count


async def _leading_into(link: Connection, queue: str) -> Channel:
    """A channel for publishing to an exchange that exists; otherwise the broker would close the channel."""
    channel = await link.channel(confirms=True)
    try:
        await channel.find_exchange(inbox(queue))
    except TopologyError as error:
        raise TopologyError(
            f"the exchange {inbox(queue)} does not exist: start the consumer of "
            f"{queue}, import the definitions, or run `taskgen setup`"
        ) from error
    return channel


async def drop(link: Connection, queue: str, is_meant: Callable[[DeadLetter], bool]) -> int:
    """Delete dead letters permanently; returns how many.

    Raises:
        TopologyError: the queue of dead letters does not exist.
    """
    channel = await link.channel()
    count = 0
    try:
        async for one in _taken(channel, queue):
            if is_meant(one):
                channel.acknowledge(one.delivery.tag)
                count += 1
    finally:
        await channel.close()
    return count


async def _taken(channel: Channel, queue: str) -> AsyncIterator[DeadLetter]:
    """The dead letters that are there now, each once; later ones are left alone."""
    state = await channel.queue_state(dead_letter_queue(queue))
    for _ in range(state.messages):
        delivery = await channel.get(dead_letter_queue(queue))
        if delivery is None:
            return
        yield DeadLetter(delivery)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _own_headers(delivery: Delivery) -> dict[str, Any]:
    """The headers, without those that brokers and this module add."""
    return {name: value for name, value in delivery.headers.items() if not name.startswith("x-")}
