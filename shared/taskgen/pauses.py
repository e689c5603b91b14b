"""How long to wait before something is tried again: longer each time, and never in step with others."""

from __future__ import annotations

import random
from collections.abc import Iterator


def growing_pauses(first_s: float, longest_s: float) -> Iterator[float]:
    """Yield pauses in seconds that double up to a limit, each shortened by up to a half at random.

    The jitter keeps a thousand clients of a restarted server from coming back in the same moment.
    """
    pause_s = first_s
    while True:
        yield pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
        pause_s = min(2 * pause_s, longest_s)
