"""The differences between older and newer boards."""

from __future__ import annotations

from enum import StrEnum

from typing_extensions import override

from taskgen.errors import SettingsError
from taskgen.event_type import EventType


class Dialect(StrEnum):
    """The generations of boards, the oldest first.

    `old`: without `JOBS_DONE`, `OUT_OF_CAPS`, `AVAILABLE`, `REBOOT`; a binary that is sent again replaces the
    stored one. `new`: without `GET_PROFILE`, and it reports the `START` of a job when some job ends.
    `newest`: like `new`, but without `OPTIMIZE`, and it sleeps through the offsets of all tasks, one after
    the other, while it executes `START`.
    """

    OLD = "old"
    """An older board."""
    NEW = "new"
    """A newer board."""
    NEWEST = "newest"
    """The newest public Taskloader and dom0."""

    @override
    @classmethod
    def _missing_(cls, value: object) -> None:
        raise SettingsError(f"unknown dialect {value!r}; choose one of {', '.join(cls)}")

    def name_of(self, event_type: EventType) -> EventType | None:
        """Return how this board reports an event; None: it does not report it."""
        if self is Dialect.OLD and event_type == EventType.JOBS_DONE:
            return None
        if self is Dialect.OLD and event_type == EventType.OUT_OF_CAPS:
            return EventType.EXIT_ERROR
        return event_type
