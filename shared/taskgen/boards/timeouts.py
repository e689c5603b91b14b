"""A time limit for what another machine does, which a pause of this process does not use up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

_LAST_LOOK_S: Final = 0.05


async def with_timeout(limit_s: float | None, step: Callable[[], Awaitable[T]]) -> T:
    """Await a step, and when its time is up look once more for a moment.

    A process that was stopped (Ctrl-Z, a suspended machine) finds the clock far ahead and, at the same time,
    what came meanwhile in its sockets: that the clock is looked at first must not count.

    Args:
        limit_s: None: no limit; 0 or less: what is there at once, and no second look.
        step: cancelled and called again without loss.

    Raises:
        TimeoutError: the step is not done.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await step()
    except TimeoutError:
        if limit_s is None or limit_s <= 0:
            raise
    async with asyncio.timeout(_LAST_LOOK_S):
        return await step()
