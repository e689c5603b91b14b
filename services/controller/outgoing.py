"""Messages that were decided upon together with the state, on their way to the broker."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from taskgen.amqp.channel import Channel
from taskgen.amqp.topology import COMMANDS, inbox
from taskgen.errors import BrokerError, UnroutableError
from taskgen.state.rows import OutgoingMessage

log = logging.getLogger(__name__)


class OutgoingMessages:
    """Those that the state holds and the broker has not confirmed."""

    def __init__(self) -> None:
        self._waiting: deque[OutgoingMessage] = deque()  # its ends may be used from two threads

    def put(self, sendings: Iterable[OutgoingMessage]) -> None:
        """Take what the state holds now."""
        self._waiting.extend(map(_through_an_inbox, sendings))

    def clear(self) -> None:
        """Forget all: the state has them."""
        self._waiting.clear()

    async def publish(self, channel: Channel) -> list[str]:
        """Publish what waits; what the broker could not take stays, for the next time.

        Returns:
            Ids of those that the state may forget.
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
            if result is None or (one.exchange == COMMANDS and isinstance(result, UnroutableError)):
                done.append(one.sending_id)  # a board that nobody owns has no run that could be told
                continue
            if not isinstance(result, BrokerError):
                raise result
            log.warning("%s waits to be sent again: %s", one.message_id, result)
            self._waiting.append(one)
        return done


def _through_an_inbox(sending: OutgoingMessage) -> OutgoingMessage:
    """Version 0.1 wrote down task-sets for the default exchange, which nobody may use any more."""
    return sending if sending.exchange else replace(sending, exchange=inbox(sending.routing_key))
