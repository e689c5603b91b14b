"""From the outbox to the broker: published, confirmed, and only then forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from taskgen.amqp.channel import Channel
from taskgen.amqp.connection import Connection
from taskgen.amqp.outbox import Outbox
from taskgen.amqp.topology import EVENTS
from taskgen.amqp.waiting import unless
from taskgen.errors import StoreUnavailableError, UnroutableError
from taskgen.monitoring import Health

log = logging.getLogger(__name__)

_WINDOW: Final = 1_000
"""So many messages are on their way unconfirmed."""
_RETRY_PAUSE_S: Final = 2.0


class Publisher:
    """Empties an outbox, for as long as it is served with connections.

    Args:
        outbox: the messages.
        health: told whether publishing works.
        on_confirmed: called in the loop with the id of each message that the broker has.
    """

    def __init__(self, outbox: Outbox, health: Health, on_confirmed: Callable[[str], None]) -> None:
        self._outbox = outbox
        self._health = health
        self._on_confirmed = on_confirmed
        self._loop = asyncio.get_running_loop()
        self._is_due = asyncio.Event()
        self._is_due.set()

    def wake(self) -> None:
        """From any thread: there is something to publish."""
        self._loop.call_soon_threadsafe(self._is_due.set)

    async def serve(self, connection: Connection) -> None:
        """Publish over this connection until it breaks.

        Raises:
            BrokerError: it broke.
        """
        channel = await connection.channel(confirms=True)
        self._health.set("publishing", is_ok=True)
        try:
            while True:
                self._is_due.clear()
                try:
                    is_empty = not await self._publish_some(channel)
                except StoreUnavailableError as error:  # what was published comes again: no harm
                    log.warning("%s; trying again", error)
                    await unless(asyncio.sleep(_RETRY_PAUSE_S), channel.lost)
                    continue
                if is_empty:
                    await unless(self._is_due.wait(), channel.lost)
        finally:
            self._health.set("publishing", is_ok=False, reason="no connection to the broker")

    async def _publish_some(self, channel: Channel) -> bool:
        """Publish a window of messages; returns False if none waits.

        Those that are confirmed are forgotten, the others come again.
        """
        waiting = await asyncio.to_thread(self._outbox.first, _WINDOW)
        if not waiting:
            return False
        confirms = [
            channel.publish(EVENTS, one.entry.key, one.entry.body, one.entry.message_id) for one in waiting
        ]
        results = await asyncio.gather(*confirms, return_exceptions=True)
        confirmed = [one for one, result in zip(waiting, results, strict=True) if result is None]
        await asyncio.to_thread(self._outbox.remove, confirmed)
        for one in confirmed:
            self._on_confirmed(one.entry.message_id)
        failures = [result for result in results if isinstance(result, BaseException)]
        if not failures:
            return True
        if all(isinstance(failure, UnroutableError) for failure in failures):
            log.error("%s; run `taskgen setup` or start the controller; trying again", failures[0])
            await unless(asyncio.sleep(_RETRY_PAUSE_S), channel.lost)
            return True
        raise next(failure for failure in failures if not isinstance(failure, UnroutableError))
