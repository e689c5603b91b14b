"""The types of events that boards are known to send: docs/taskloader.md, section 3."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class EventType(StrEnum):
    """What happened to a task. Other types may come, and are kept as they are."""

    START = "START"
    EXIT = "EXIT"
    EXIT_CRITICAL = "EXIT_CRITICAL"
    EXIT_ERROR = "EXIT_ERROR"
    EXIT_EXTERNAL = "EXIT_EXTERNAL"
    EXIT_PERIOD = "EXIT_PERIOD"
    OUT_OF_QUOTA = "OUT_OF_QUOTA"
    OUT_OF_CAPS = "OUT_OF_CAPS"
    NOT_SCHEDULED = "NOT_SCHEDULED"
    JOBS_DONE = "JOBS_DONE"
    EXTERNAL = "EXTERNAL"


JOB_ENDS: Final = frozenset(
    {
        EventType.EXIT,
        EventType.EXIT_CRITICAL,
        EventType.EXIT_ERROR,
        EventType.EXIT_EXTERNAL,
        EventType.EXIT_PERIOD,
        EventType.OUT_OF_QUOTA,
        EventType.OUT_OF_CAPS,
    }
)
"""The types that end the job which the task's last START began."""

_ONE_TEXT: Final = {kind.value: kind.value for kind in EventType}


def one_text(name: str) -> str:
    """The same text object for the same type: a long run would keep one for each of its jobs."""
    return _ONE_TEXT.get(name, name)
