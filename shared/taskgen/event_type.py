"""The types of events that boards are known to send: docs/taskloader.md, section 3."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class EventType(StrEnum):
    """What happened to a task. Events of other types are kept as they are."""

    START = "START"
    """A job was released and its process was created."""
    EXIT = "EXIT"
    """The job ended by itself with exit value 0."""
    EXIT_CRITICAL = "EXIT_CRITICAL"
    """The job was killed at its critical time."""
    EXIT_ERROR = "EXIT_ERROR"
    """The job ended by itself with another exit value."""
    EXIT_EXTERNAL = "EXIT_EXTERNAL"
    """The job was killed by a `STOP` or `CLEAR`."""
    EXIT_PERIOD = "EXIT_PERIOD"
    """The job was killed because its next release was due."""
    OUT_OF_QUOTA = "OUT_OF_QUOTA"
    """The job ran out of RAM."""
    OUT_OF_CAPS = "OUT_OF_CAPS"
    """The job ran out of Genode capabilities."""
    NOT_SCHEDULED = "NOT_SCHEDULED"
    """The admission test refused this release."""
    JOBS_DONE = "JOBS_DONE"
    """The task has no job left; newer boards only."""
    EXTERNAL = "EXTERNAL"
    """A snapshot that was requested from outside."""


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
"""The types that end the job that the task's last START began."""

_ONE_TEXT: Final = {kind.value: kind.value for kind in EventType}


def one_text(name: str) -> str:
    """Return the same string object for the same type: a long run would keep one for each of its jobs."""
    return _ONE_TEXT.get(name, name)
