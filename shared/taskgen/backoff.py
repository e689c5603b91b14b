"""Decides how long to pause before a retry, and how long to keep trying."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Final

from taskgen.deadline import Deadline

_MAX_ENDING_PAUSE_S: Final = 0.5
"""Longest pause while the process is being shut down."""


class Backoff:
    """Exponential back-off with jitter: pauses double up to a limit, each shortened at random by up to half.

    The jitter keeps the thousand clients of a restarted server from coming back at the same moment.

    Args:
        max_s: longest pause.
        first_s: the pause after the first failure.
    """

    def __init__(self, max_s: float = 10.0, first_s: float = 0.2) -> None:
        self.max_s = max_s
        self._first_s = first_s
        self._next_s = first_s

    def reset(self) -> None:
        """Start over with the first pause, after an attempt that succeeded."""
        self._next_s = self._first_s

    def next_pause_s(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self.max_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it

    async def pause(self) -> None:
        """Sleep until the next attempt is due."""
        await asyncio.sleep(self.next_pause_s())


class Patience:
    """How long a thread keeps trying: indefinitely, or until a deadline once the process must end."""

    def __init__(self) -> None:
        self._is_ending = threading.Event()
        self._deadline: Deadline | None = None

    def end_by(self, deadline: Deadline) -> None:
        """Cut a pause short, and keep later ones short; may be called from any thread."""
        self._deadline = deadline
        self._is_ending.set()

    @property
    def is_over(self) -> bool:
        """Whether it is time to give up."""
        return self._deadline is not None and not self._deadline.left_s

    def next_pause_s(self, pause_s: float) -> float:
        """The maximum duration of `pause`."""
        return pause_s if self._deadline is None else min(pause_s, _MAX_ENDING_PAUSE_S, self._deadline.left_s)

    def pause(self, pause_s: float) -> None:
        """Block the thread until the pause is over or the process is asked to end, whichever comes first."""
        if self._is_ending.is_set():
            time.sleep(self.next_pause_s(pause_s))
        else:
            self._is_ending.wait(pause_s)
