"""A board's own clock: milliseconds since its boot, faster than the host's by a factor."""

from __future__ import annotations

import asyncio
from time import monotonic


class Clock:
    """Time goes on by the host's clock; time stamps are it in so many bits, maybe restarted."""

    def __init__(self, start_ms: int, speed: float, bits: int) -> None:
        self._speed = speed
        self._bits = bits
        self._zero = 0
        self._latest = start_ms
        self._booted_at = monotonic() - self.seconds(start_ms)

    def now(self) -> int:
        """Ms since boot; it never goes back, not even by rounding."""
        time = int((monotonic() - self._booted_at) * 1000 * self._speed)
        self._latest = max(self._latest, time)
        return self._latest

    def stamp(self, time: int) -> int:
        """What the board writes for this time."""
        return (time - self._zero) % (1 << self._bits)

    def restart_stamps(self, time: int) -> None:
        """From now on this time is stamped 0, without a boot."""
        self._zero = time

    def reboot(self) -> None:
        """Begin again at 0."""
        self._zero = 0
        self._latest = 0
        self._booted_at = monotonic()

    def seconds(self, duration_ms: int) -> float:
        """How long the board's ms last on the host."""
        return duration_ms / 1000 / self._speed

    async def until(self, time: int) -> None:
        """Wait for this time; if it is past, still let others have their turn."""
        due = self._booted_at + self.seconds(time)
        await asyncio.sleep(max(0.0, due - monotonic()))
        self._latest = max(self._latest, time)
