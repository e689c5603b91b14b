"""A board's clock: milliseconds since boot, faster than the host's clock by a factor."""

from __future__ import annotations

import asyncio
from time import monotonic


class Clock:
    """Follows the host's clock; time stamps wrap after a number of bits, and can be restarted."""

    def __init__(self, start_ms: int, speed: float, bits: int) -> None:
        self._speed = speed
        self._bits = bits
        self._zero = 0
        self._latest = start_ms
        self._booted_at = monotonic() - self.seconds(start_ms)

    def now(self) -> int:
        """Return the ms since boot; they never decrease, not even by rounding."""
        time = int((monotonic() - self._booted_at) * 1000 * self._speed)
        self._latest = max(self._latest, time)
        return self._latest

    def stamp(self, time: int) -> int:
        """Return the time stamp of this time."""
        return (time - self._zero) % (1 << self._bits)

    def restart_stamps(self, time: int) -> None:
        """Stamp this time as 0 from now on, without a reboot."""
        self._zero = time

    def reboot(self) -> None:
        """Restart at 0."""
        self._zero = 0
        self._latest = 0
        self._booted_at = monotonic()

    def seconds(self, duration_ms: int) -> float:
        """Return how long this many ms of the board take on the host."""
        return duration_ms / 1000 / self._speed

    async def until(self, time: int) -> None:
        """Wait for this time; if it has passed, still yield to other tasks."""
        due = self._booted_at + self.seconds(time)
        await asyncio.sleep(max(0.0, due - monotonic()))
        self._latest = max(self._latest, time)
