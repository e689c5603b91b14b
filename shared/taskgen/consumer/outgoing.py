"""Publishes the messages that were written together with the state."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from taskgen.amqp.channel import Channel
from taskgen.amqp.topology import COMMANDS, EVENTS, TASKSETS, inbox
from taskgen.errors import BrokerError, UnroutableError
from taskgen.state.state import OutgoingMessage

log = logging.getLogger(__name__)


_EXCHANGES: Final = ("", inbox(TASKSETS), COMMANDS, EVENTS)
"""All exchanges that are published to; publishing to one that does not exist closes the channel."""


class OutgoingMessages:
    """The messages that the state holds and the broker has not confirmed."""

    def __init__(self) -> None:
        self._waiting: deque[OutgoingMessage] = deque()  # one thread appends, another one takes

    def add(self, messages: Iterable[OutgoingMessage]) -> None:
        """Add messages that the state holds."""
        known = (one for one in messages if one.exchange in _EXCHANGES)
        self._waiting.extend(map(_through_an_inbox, known))

    def clear(self) -> None:
        """Drop all messages: the state has them."""
        self._waiting.clear()

    async def publish(self, channel: Channel) -> list[str]:
        """Publish all messages; those that the broker does not accept stay for the next time.

        Returns:
            The `outgoing_id` of the messages that the state may forget.
        """
        taken: list[OutgoingMessage] = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        confirms = [
            channel.publish(one.exchange, one.routing_key, one.body.encode(), one.message_id) for one in taken
        ]
        results = await asyncio.gather(*confirms, return_exceptions=True)
        done = []
        for one, result in zip(taken, results, strict=True):
            # A board without an owner has no run to decide on; without a sink, results are not stored.
            is_unwanted = one.exchange in (COMMANDS, EVENTS) and isinstance(result, UnroutableError)
            if result is None or is_unwanted:
                done.append(one.outgoing_id)
                continue
            if not isinstance(result, BrokerError):
                raise result
            log.warning("%s will be sent again: %s", one.message_id, result)
            self._waiting.append(one)
        return done


def _through_an_inbox(message: OutgoingMessage) -> OutgoingMessage:
    """Version 0.1 stored task-sets for the default exchange, to which nobody may publish any more."""
    return message if message.exchange else replace(message, exchange=inbox(message.routing_key))
