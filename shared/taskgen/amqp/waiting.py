"""Waiting for something that may never come, because the connection breaks first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


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
