"""Publishes the outbox; a message is deleted once the broker has confirmed it.

Messages that the broker returns as unroutable are held back with all others of their kind, so that other
kinds can pass. The kinds that concern runs are held back together, so the messages of a run stay in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
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

_WINDOWS: Final = 4
"""How many windows of messages may be unconfirmed."""
_WINDOW: Final = 250
"""Messages in a window."""
_WINDOW_BYTES: Final = 2 * 1024 * 1024
"""Of their bodies; a single message may be larger."""
_RETRY_PAUSE_S: Final = 2.0

_Kinds = frozenset[str]
_OF_RUNS: Final[_Kinds] = frozenset(OF_RUNS)
_FOR_SINKS_ONLY: Final[_Kinds] = frozenset({"quarantined"})
"""A lab without sinks works nevertheless."""


class Publisher:
    """Publishes the messages of an outbox over one connection after another.

    Args:
        outbox: has the messages.
        health: reports whether publishing works.
        on_confirmed: called in the loop with the id of each confirmed message.
    """

    def __init__(self, outbox: Outbox, health: Health, on_confirmed: Callable[[str], None]) -> None:
        self._outbox = outbox
        self._health = health
        self._on_confirmed = on_confirmed
        self._loop = asyncio.get_running_loop()
        self._is_due = asyncio.Event()
        self._is_due.set()
        self._held: set[_Kinds] = set()
        """Kinds that are unroutable now."""
        self._after = 0
        """Everything up to this id is published, or held back."""
        self._offered: list[Stored] = []
        """The next messages, from memory; empty if the publisher has to read them from the outbox."""
        self._next_try = 0.0
        """When held messages are tried again, by the loop's clock."""

    def wake(self) -> None:
        """Look for messages in the outbox; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._is_due.set)

    def offer(self, stored: list[Stored]) -> None:
        """Take messages that were just written, without reading them; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._take_offer, stored)

    def _take_offer(self, stored: list[Stored]) -> None:
        last = self._offered[-1].id if self._offered else self._after
        has_room = sum(len(one.entry.body) for one in self._offered) < _WINDOW_BYTES
        if stored and stored[0].id == last + 1 and has_room and len(self._offered) < _WINDOW:
            self._offered += stored
        self._is_due.set()

    async def serve(self, connection: Connection) -> None:
        """Publish over this connection until it breaks.

        Raises:
            BrokerError: the connection is lost.
        """
        channel = await connection.channel(confirms=True)
        self._held.clear()
        self._offered.clear()
        self._after = 0
        self._tell()
        try:
            async with asyncio.TaskGroup() as group:
                await self._publish_all(channel, group)
        finally:
            self._health.set("publishing", is_ok=False, reason="no connection to the broker")

    async def _publish_all(self, channel: Channel, group: asyncio.TaskGroup) -> None:
        """Publish windows of messages without waiting for the confirms of earlier ones."""
        confirming: deque[asyncio.Task[None]] = deque()
        while True:
            self._is_due.clear()
            if len(confirming) == _WINDOWS or (self._held and confirming):
                await confirming.popleft()
                continue
            try:
                waiting = await self._waiting(channel)
            except StoreUnavailableError as error:
                log.warning("%s; retrying", error)
                await until_lost(asyncio.sleep(_RETRY_PAUSE_S), channel.lost)
                continue
            if waiting:
                self._after = waiting[-1].id
                confirming.append(
                    group.create_task(self._settle(channel, waiting, _publish(channel, waiting)))
                )
            else:
                await until_lost(self._rest(), channel.lost)

    async def _rest(self) -> None:
        """Wait until there may be something to publish, or held messages are due."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_try if self._held else None):
                await self._is_due.wait()

    async def _waiting(self, channel: Channel) -> list[Stored]:
        """The next window of messages, without held ones."""
        if self._held and self._loop.time() >= self._next_try:
            await self._try_held(channel)
        offered, self._offered = self._offered, []
        if offered and not self._held and offered[0].id == self._after + 1:
            return offered
        if self._after >= self._outbox.last_id and not self._held:
            return []
        but_not = [kind for kinds in self._held for kind in kinds]
        return await asyncio.to_thread(self._outbox.first, _WINDOW, _WINDOW_BYTES, self._after, but_not)

    async def _try_held(self, channel: Channel) -> None:
        """Publish the oldest message of each held kind to find out whether it is routable now."""
        for kinds in list(self._held):
            oldest = await asyncio.to_thread(self._outbox.oldest_of, kinds)
            if not await self._confirmed(channel, oldest, _publish(channel, oldest)):
                self._release(kinds)
        self._next_try = self._loop.time() + _RETRY_PAUSE_S

    async def _settle(
        self, channel: Channel, messages: Sequence[Stored], confirms: Sequence[asyncio.Future[None]]
    ) -> None:
        self._hold(await self._confirmed(channel, messages, confirms))

    async def _confirmed(
        self, channel: Channel, messages: Sequence[Stored], confirms: Sequence[asyncio.Future[None]]
    ) -> set[_Kinds]:
        """Wait for the confirms and delete the messages confirmed; returns the kinds that are unroutable."""
        results = await asyncio.gather(*confirms, return_exceptions=True)
        confirmed = [one for one, result in zip(messages, results, strict=True) if result is None]
        for one in confirmed:
            self._on_confirmed(one.entry.message_id)
        await self._remove(channel, confirmed)
        for result in results:
            if result is not None and not isinstance(result, UnroutableError):
                raise result
        returned = [one for one, result in zip(messages, results, strict=True) if result is not None]
        return {_together(one.entry.kind) for one in returned}

    async def _remove(self, channel: Channel, confirmed: Sequence[Stored]) -> None:
        while True:
            try:
                await asyncio.to_thread(self._outbox.remove, confirmed)
            except StoreUnavailableError as error:  # publishing a message twice does no harm
                log.warning("%s; retrying", error)
                await until_lost(asyncio.sleep(_RETRY_PAUSE_S), channel.lost)
            else:
                return

    def _hold(self, returned: set[_Kinds]) -> None:
        new = returned - self._held
        if not new:
            return
        for kinds in new:
            log.warning("no queue accepts messages of %s; they remain in the outbox", _names(kinds))
        self._held |= new
        self._is_due.set()
        self._next_try = self._loop.time() + _RETRY_PAUSE_S
        self._tell()

    def _release(self, kinds: _Kinds) -> None:
        log.info("%s messages are routable again", _names(kinds))
        self._held.discard(kinds)
        self._after = 0
        self._tell()

    def _tell(self) -> None:
        missed: _Kinds = frozenset().union(*self._held) - _FOR_SINKS_ONLY
        reason = f"no queue accepts messages of {_names(missed)}; run `taskgen setup` or start the controller"
        self._health.set("publishing", is_ok=not missed, reason=reason if missed else "")


def _publish(channel: Channel, messages: Sequence[Stored]) -> list[asyncio.Future[None]]:
    return [channel.publish(EVENTS, one.entry.key, one.entry.body, one.entry.message_id) for one in messages]


def _together(kind: str) -> _Kinds:
    """The kinds that are held back together with this one."""
    return _OF_RUNS if kind in _OF_RUNS else frozenset({kind})


def _names(kinds: _Kinds) -> str:
    return ", ".join(sorted(kinds))
