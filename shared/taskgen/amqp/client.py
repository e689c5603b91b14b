"""The connection of a command: the broker has to be there at first, and may break off afterwards."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from taskgen.amqp.connection import Connection, connection
from taskgen.backoff import Backoff
from taskgen.errors import BrokerUnavailableError, first_error

log = logging.getLogger(__name__)

_MAX_PAUSE_S: Final = 5.0


async def as_client(url: str, name: str, serve: Callable[[Connection], Awaitable[None]]) -> None:
    """Connect and serve; when the connection breaks, again after growing pauses. Returns when `serve` does.

    It is logged once that the connection is lost, and once that it is back.

    Raises:
        BrokerUnavailableError: there was no broker from the beginning.
        BrokerError: what else `serve` raises.
    """
    was_connected = is_lost = False

    async def use(link: Connection) -> None:
        nonlocal was_connected, is_lost
        if is_lost:
            log.warning("connected to the broker again")
        was_connected, is_lost = True, False
        await serve(link)

    backoff = Backoff(_MAX_PAUSE_S)
    while True:
        try:
            async with connection(url, name) as link:
                await use(link)
                return
        except (BrokerUnavailableError, ExceptionGroup) as error:
            if not was_connected or not isinstance(first_error(error), BrokerUnavailableError):
                raise first_error(error) from error
            if not is_lost:
                log.warning("lost the connection to the broker; reconnecting: %s", first_error(error))
            is_lost = True
        await backoff.pause()
