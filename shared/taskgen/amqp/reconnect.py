"""Staying connected: pika has no recovery built in, so a broken connection is made anew, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from taskgen.amqp.connection import Connection, connection
from taskgen.backoff import Backoff
from taskgen.errors import BrokerUnavailableError, first_error
from taskgen.runtime.health import Health

_MAX_PAUSE_S: Final = 15.0


async def stay_connected(
    url: str, name: str, serve: Callable[[Connection], Awaitable[None]], health: Health
) -> None:
    """Connect and serve; when there is no broker or the connection breaks, again after growing pauses.

    Returns when `serve` does.

    Args:
        url: of the broker.
        name: of the connection, shown by the broker's management.
        serve: uses one connection, declaring what it needs each time; raises `BrokerUnavailableError`
            (alone or in a group) to be given another one.
        health: its part `broker` says whether there is a connection.

    Raises:
        CredentialsError: the broker does not want this user.
        SettingsError: the URL cannot be understood.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(_MAX_PAUSE_S)
    is_served = False
    while True:
        began = loop.time()
        try:
            async with connection(url, name) as opened:
                health.set("broker", True)
                await serve(opened)
            is_served = True
        except* BrokerUnavailableError as group:
            health.set("broker", False, str(first_error(group)))
            health.metrics.reconnects.inc()
        if is_served:
            return
        if loop.time() - began > _MAX_PAUSE_S:  # one that breaks at once is not asked in a hurry
            backoff.reset()
        await backoff.pause()
