"""Parking queues: messages that a consumer could not understand, kept for people to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection
from taskgen.amqp.topology import dlx, inbox, parking
from taskgen.errors import BrokerUnavailableError, TopologyError, UnroutableError
from taskgen.run import new_id
from taskgen.untrusted_text import brief

REASON: Final = "x-taskgen-reason"
QUEUE: Final = "x-taskgen-queue"
ROUTING_KEY: Final = "x-taskgen-routing-key"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message in a parking queue, put there by its consumer, or by the broker at its delivery limit."""

    delivery: Delivery

    @property
    def message_id(self) -> str:
        """Of the message."""
        return self.delivery.message_id

    @property
    def reason(self) -> str:
        """Why it was parked."""
        if REASON in self.delivery.headers:
            return str(self.delivery.headers[REASON])
        return f"{self._death.get('reason', 'unknown')}, by the broker"

    @property
    def routing_key(self) -> str:
        """With which it came to its consumer."""
        keys = _listed(self._death.get("routing-keys")) or [""]
        return str(self.delivery.headers.get(ROUTING_KEY, keys[0]))

    @property
    def _death(self) -> dict[str, Any]:
        """What the broker notes when it dead-letters, if it is that: anybody may publish such a header."""
        deaths = _listed(self.delivery.headers.get("x-death"))
        return deaths[0] if deaths and isinstance(deaths[0], dict) else {}


def park(channel: Channel, queue: str, delivery: Delivery, reason: str) -> asyncio.Future[None]:
    """Put a message into a queue's parking queue; done when the broker has confirmed it.

    Args:
        channel: confirms.
        queue: where the message came from.
        delivery: the message.
        reason: why it cannot be handled there.
    """
    headers = {REASON: brief(reason), QUEUE: queue, ROUTING_KEY: delivery.routing_key}
    name = delivery.message_id or new_id()
    headers = _own_headers(delivery) | headers
    return channel.publish(dlx(queue), parking(queue), delivery.body, name, headers=headers)


async def dead_letters(link: Connection, queue: str) -> list[DeadLetter]:
    """What is in a queue's parking queue; it stays there.

    Raises:
        TopologyError: there is no such queue.
    """
    channel = await link.channel()
    try:
        return [one async for one in _taken(channel, queue)]
    finally:
        await channel.close()  # which gives all of them back


async def redrive(link: Connection, queue: str, is_meant: Callable[[DeadLetter], bool]) -> int:
    """Put parked messages back into their queue, at its end; returns how many.

    Args:
        link: a connection.
        queue: whose parking queue.
        is_meant: which messages; the others stay.

    Raises:
        TopologyError: there is no such parking queue, or no exchange that leads into its queue.
        UnroutableError: there is no such queue any more; nothing is lost.
        BrokerUnavailableError: the queue is full, or the connection broke; what was not put back stays.
    """
    channel = await link.channel()
    await channel.queue_state(parking(queue))
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
        raise UnroutableError(f"there is no queue {queue} to put messages back into") from error
    except BrokerUnavailableError as error:
        raise BrokerUnavailableError(f"{count} were put back, then: {error}") from error
    finally:
        await channel.close()
    return count


async def _leading_into(link: Connection, queue: str) -> Channel:
    """A channel for publishing, where there is what to publish to: without it, the channel would break."""
    channel = await link.channel(confirms=True)
    try:
        await channel.find_exchange(inbox(queue))
    except TopologyError as error:
        raise TopologyError(
            f"there is no exchange {inbox(queue)} to put messages back through: start the consumer of "
            f"{queue}, import the definitions, or run `taskgen setup`"
        ) from error
    return channel


async def drop(link: Connection, queue: str, is_meant: Callable[[DeadLetter], bool]) -> int:
    """Delete parked messages for good; returns how many.

    Raises:
        TopologyError: there is no such parking queue.
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
    """The messages that are parked now, each once: those that come meanwhile are left alone."""
    state = await channel.queue_state(parking(queue))
    for _ in range(state.messages):
        delivery = await channel.get(parking(queue))
        if delivery is None:
            return
        yield DeadLetter(delivery)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _own_headers(delivery: Delivery) -> dict[str, Any]:
    """The headers without those that brokers and this module add."""
    return {name: value for name, value in delivery.headers.items() if not name.startswith("x-")}
