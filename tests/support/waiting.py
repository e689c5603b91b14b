"""Waiting for conditions instead of for fixed times."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    """Return as soon as `holds()` is true.

    Raises:
        TimeoutError: it was not within `within_s` seconds; the message has `what` was waited for.
    """
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s} s: {what}")
        time.sleep(0.02)
