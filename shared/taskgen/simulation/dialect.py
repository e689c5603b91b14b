"""What older and newer boards say and do differently."""

from __future__ import annotations

from enum import StrEnum

from taskgen.errors import SettingsError
from taskgen.event_type import EventType


class Dialect(StrEnum):
    """The generations of boards, the oldest first.

    `old`: no `JOBS_DONE`, `OUT_OF_CAPS`, `AVAILABLE`, `REBOOT`; a binary that is sent again replaces the one
    that the board holds. `new`: no `GET_PROFILE`. `newest`: as `new`, but with no `OPTIMIZE`, and it sleeps
    through the offsets of all tasks, one after the other, while it obeys `START`.
    """

    OLD = "old"
    """An older board."""
    NEW = "new"
    """A newer board."""
    NEWEST = "newest"
    """The newest public Taskloader and dom0."""

    @classmethod
    def named(cls, name: str) -> Dialect:
        """The dialect of this name.

        Raises:
            SettingsError: there is none.
        """
        try:
            return cls(name)
        except ValueError as error:
            raise SettingsError(f"no dialect {name!r}; there are {', '.join(cls)}") from error

    def word_for(self, event_type: EventType) -> EventType | None:
        """How this board calls what happened; None: it does not say it."""
        if self is Dialect.OLD and event_type == EventType.JOBS_DONE:
            return None
        if self is Dialect.OLD and event_type == EventType.OUT_OF_CAPS:
            return EventType.EXIT_ERROR
        return event_type
