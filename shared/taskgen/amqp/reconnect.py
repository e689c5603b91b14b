"""Stays connected: reconnects when a connection breaks, because pika has no recovery built in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from taskgen.amqp.connection import Connection, connection
from taskgen.backoff import Backoff
from taskgen.errors import BrokerUnavailableError, first_error

log = logging.getLogger(__name__)

_MAX_PAUSE_S: Final = 15.0


async def stay_connected(
    url: str,
    name: str,
    serve: Callable[[Connection], Awaitable[None]],
    on_change: Callable[[str], None],
    *,
    is_patient: bool = True,
    max_pause_s: float = _MAX_PAUSE_S,
) -> None:
    """Connect and serve; reconnect with back-off whenever the connection breaks. Returns when `serve` does.

    Args:
        url: of the broker.
        name: of the connection, shown by the broker's management.
        serve: uses one connection, declaring what it needs each time; raises `BrokerUnavailableError`
            (alone or in a group) to be given another one.
        on_change: called with an empty text when there is a connection, with the reason when there is none.
        is_patient: whether to wait for a broker that is unavailable at first.
        max_pause_s: between two attempts.

    Raises:
        BrokerUnavailableError: there was no broker from the beginning, and `is_patient` is false.
        CredentialsError: the broker refuses this user.
        SettingsError: the URL cannot be understood.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(max_pause_s)
    is_served = was_connected = False
    while True:
        began = loop.time()
        try:
            async with connection(url, name) as opened:
                was_connected = True
                on_change("")
                await serve(opened)
            is_served = True
        except* BrokerUnavailableError as group:
            if not (was_connected or is_patient):
                raise
            on_change(str(first_error(group)))
        if is_served:
            return
        if loop.time() - began > max_pause_s:  # do not retry at once if a connection breaks immediately
            backoff.reset()
        await backoff.pause()


async def connected_command(url: str, name: str, serve: Callable[[Connection], Awaitable[None]]) -> None:
    """Stay connected for a command: the broker has to be there at first, and losing it is logged once.

    Raises:
        BrokerUnavailableError: there was no broker from the beginning.
        BrokerError: what else `serve` raises.
    """
    is_lost = False

    def tell(reason: str) -> None:
        nonlocal is_lost
        if reason and not is_lost:
            log.warning("lost the connection to the broker; reconnecting: %s", reason)
        elif is_lost and not reason:
            log.warning("connected to the broker again")
        is_lost = bool(reason)

    try:
        await stay_connected(url, name, serve, tell, is_patient=False, max_pause_s=5.0)
    except ExceptionGroup as group:
        raise first_error(group) from group


async def until_lost(waiting: Coroutine[Any, Any, object], lost: asyncio.Future[None]) -> None:
    """Wait, unless a connection or channel is lost meanwhile.

    Args:
        waiting: what is waited for.
        lost: as of `Connection` or `Channel`.

    Raises:
        BrokerError: it is lost.
    """
    task = asyncio.ensure_future(waiting)
    ends: set[asyncio.Future[Any]] = {task, lost}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
    if lost.done():
        await lost
