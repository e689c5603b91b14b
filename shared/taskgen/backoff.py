"""How long to wait before something is tried again, and how long to go on trying."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Final

from taskgen.boards.timeouts import Deadline

_LAST_PAUSES_S: Final = 0.5
"""While the process is being ended."""


def growing_pauses(first_s: float, longest_s: float) -> Iterator[float]:
    """Yield pauses in seconds that double up to a limit, each shortened by up to a half at random.

    The jitter keeps a thousand clients of a restarted server from coming back in the same moment.
    """
    pause_s = first_s
    while True:
        yield pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
        pause_s = min(2 * pause_s, longest_s)


class Patience:
    """How long a thread goes on trying: for ever; once the process is asked to end, until a deadline."""

    def __init__(self) -> None:
        self._is_ending = threading.Event()
        self._deadline: Deadline | None = None

    def end_by(self, deadline: Deadline) -> None:
        """From any thread: the process is to end; cuts a pause short, and keeps the later ones short."""
        self._deadline = deadline
        self._is_ending.set()

    @property
    def is_over(self) -> bool:
        """Whether to give up."""
        return self._deadline is not None and not self._deadline.left_s

    def next_pause_s(self, pause_s: float) -> float:
        """How long `pause` takes at most."""
        return pause_s if self._deadline is None else min(pause_s, _LAST_PAUSES_S, self._deadline.left_s)

    def pause(self, pause_s: float) -> None:
        """Wait in a thread, until the process is asked to end at the latest; after that, for a moment."""
        if self._is_ending.is_set():
            time.sleep(self.next_pause_s(pause_s))
        else:
            self._is_ending.wait(pause_s)
