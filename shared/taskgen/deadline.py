"""A moment by which work has to be done, shared by all parts of that work."""

from __future__ import annotations

import time
from typing import Self


class Deadline:
    """A shared time limit: time that one part of the work leaves unused remains for the next.

    Args:
        limit_s: seconds from now.
    """

    def __init__(self, limit_s: float) -> None:
        self._at_s = time.monotonic() + limit_s

    @property
    def left_s(self) -> float:
        """Seconds left; 0 once the deadline has passed."""
        return max(0.0, self._at_s - time.monotonic())

    def part(self, fraction: float) -> Self:
        """The deadline of a part that may use this fraction of the time left now."""
        return type(self)(self.left_s * fraction)
