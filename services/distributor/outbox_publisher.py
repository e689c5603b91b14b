"""From the outbox to the broker: published, confirmed, and only then forgotten.

Messages that no queue takes are held back with all of their kind, so that others overtake them. The kinds
that tell of runs are held back together: every queue is bound to all of them, and a run stays in its order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from services.distributor.outbox import Outbox, Stored
from taskgen.amqp.channel import Channel
from taskgen.amqp.connection import Connection
from taskgen.amqp.reconnect import until_lost
from taskgen.amqp.topology import EVENTS
from taskgen.errors import StoreUnavailableError, UnroutableError
from taskgen.messages.run import OF_RUNS
from taskgen.runtime.health import Health

log = logging.getLogger(__name__)

_WINDOW: Final = 1_000
"""So many messages are on their way unconfirmed."""
_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""Of their bodies; a single message may be larger."""
_RETRY_PAUSE_S: Final = 2.0

_Kinds = frozenset[str]
_OF_RUNS: Final[_Kinds] = frozenset(OF_RUNS)
_FOR_SINKS_ONLY: Final[_Kinds] = frozenset({"quarantined"})
"""A lab without sinks does its work all the same."""


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
        self._held: set[_Kinds] = set()
        """Kinds that no queue takes now."""
        self._after = 0
        """Up to this id the outbox has nothing but what is held."""
        self._next_try = 0.0
        """When the held ones are tried again, by the loop's clock."""

    def wake(self) -> None:
        """From any thread: there is something to publish."""
        self._loop.call_soon_threadsafe(self._is_due.set)

    async def serve(self, connection: Connection) -> None:
        """Publish over this connection until it breaks.

        Raises:
            BrokerError: it broke.
        """
        channel = await connection.channel(confirms=True)
        self._held.clear()
        self._after = 0
        self._tell()
        try:
            while True:
                self._is_due.clear()
                try:
                    is_empty = not await self._publish_some(channel)
                except StoreUnavailableError as error:  # what was published comes again: no harm
                    log.warning("%s; trying again", error)
                    await until_lost(asyncio.sleep(_RETRY_PAUSE_S), channel.lost)
                    continue
                if is_empty:
                    await until_lost(self._rest(), channel.lost)
        finally:
            self._health.set("publishing", is_ok=False, reason="no connection to the broker")

    async def _rest(self) -> None:
        """Wait until there is something to publish, or to try again."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_try if self._held else None):
                await self._is_due.wait()

    async def _publish_some(self, channel: Channel) -> bool:
        """Publish a window of messages; returns False if none waits but those that are held."""
        if self._held and self._loop.time() >= self._next_try:
            await self._try_held(channel)
        but_not = [kind for kinds in self._held for kind in kinds]
        waiting = await asyncio.to_thread(self._outbox.first, _WINDOW, _WINDOW_BYTES, self._after, but_not)
        if not waiting:
            return False
        self._hold(await self._publish(channel, waiting))
        self._after = waiting[-1].id
        return True

    async def _try_held(self, channel: Channel) -> None:
        """Find out with one message of each whether they are taken now."""
        for kinds in list(self._held):
            oldest = await asyncio.to_thread(self._outbox.oldest_of, kinds)
            if not await self._publish(channel, oldest):
                self._release(kinds)
        self._next_try = self._loop.time() + _RETRY_PAUSE_S

    async def _publish(self, channel: Channel, messages: Sequence[Stored]) -> set[_Kinds]:
        """Publish messages and forget those that are confirmed; returns the kinds that no queue takes."""
        confirms = [
            channel.publish(EVENTS, one.entry.key, one.entry.body, one.entry.message_id) for one in messages
        ]
        results = await asyncio.gather(*confirms, return_exceptions=True)
        confirmed = [one for one, result in zip(messages, results, strict=True) if result is None]
        await asyncio.to_thread(self._outbox.remove, confirmed)
        for one in confirmed:
            self._on_confirmed(one.entry.message_id)
        for result in results:
            if result is not None and not isinstance(result, UnroutableError):
                raise result
        returned = [one for one, result in zip(messages, results, strict=True) if result is not None]
        return {_together(one.entry.kind) for one in returned}

    def _hold(self, returned: set[_Kinds]) -> None:
        new = returned - self._held
        if not new:
            return
        for kinds in new:
            log.warning("no queue takes messages of %s: they wait in the outbox", _names(kinds))
        self._held |= new
        self._next_try = self._loop.time() + _RETRY_PAUSE_S
        self._tell()

    def _release(self, kinds: _Kinds) -> None:
        log.info("messages of %s are taken again", _names(kinds))
        self._held.discard(kinds)
        self._after = 0
        self._tell()

    def _tell(self) -> None:
        missed: _Kinds = frozenset().union(*self._held) - _FOR_SINKS_ONLY
        reason = f"no queue takes messages of {_names(missed)}; run `taskgen setup` or start the controller"
        self._health.set("publishing", is_ok=not missed, reason=reason if missed else "")


def _together(kind: str) -> _Kinds:
    """The kinds that are held back together with this one."""
    return _OF_RUNS if kind in _OF_RUNS else frozenset({kind})


def _names(kinds: _Kinds) -> str:
    return ", ".join(sorted(kinds))
