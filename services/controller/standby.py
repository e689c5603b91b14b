"""One controller is active; the others stand by, and one of them takes over when its connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from taskgen.amqp.connection import Connection
from taskgen.amqp.reconnect import until_lost
from taskgen.errors import LockedError
from taskgen.runtime.health import Health

ACTIVE: Final = "taskgen.controller.active"
"""Exclusive queue of the active controller; the broker deletes it when its connection ends."""
_PAUSE_S: Final = 2.0
"""Between two attempts of a standby to become active."""


async def become_active(connection: Connection, health: Health, check: Callable[[], Awaitable[None]]) -> None:
    """Wait until no other controller is active; `check` is called before each further attempt.

    Raises:
        BrokerError: the connection is lost.
    """
    while True:
        channel = await connection.channel()
        try:
            await channel.declare_queue(ACTIVE, durable=False, exclusive=True)
        except LockedError:
            health.set("standby", True, "another controller is active")
            health.set("consuming", True, "standing by")
            health.metrics.consuming.set(0)  # a standby is healthy without consuming
            await check()
            await until_lost(asyncio.sleep(_PAUSE_S), connection.lost)
        else:
            health.set("standby", True, "this controller is active")
            return
