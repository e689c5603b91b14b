"""What simulated boards really said, for tests to compare with what was stored."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from taskgen.errors import SettingsError
from taskgen.simulation.frames import Attributes


@dataclass(frozen=True, slots=True)
class Truth:
    """A file of JSON lines, one per event, written after the event was sent; boards may share it.

    A line has `board` (`host:port`), `connection` and `run` (counted from 1 for each board; `run` is 0
    before the first), the event's attributes as xmltodict names them (`@type`, `@task-id`,
    `@time-stamp`), and, if a fault made the event unreadable or late, its name as `destroyed` or `late`.
    """

    path: Path | None
    """None: nothing is written."""

    def begin(self) -> None:
        """Make the file if there is none, so that a wrong path is known before a board speaks.

        Raises:
            SettingsError: it cannot be written.
        """
        if self.path is None:
            return
        try:
            self.path.open("a").close()
        except OSError as error:
            raise SettingsError(f"truth: cannot write: {error}") from error

    def tell(self, events: Iterable[Attributes], **more: str | int) -> None:
        """Append a line for each event; they are in the file when this returns."""
        if self.path is None:
            return
        lines = [
            json.dumps(more | {f"@{name}": value for name, value in event.items()}) + "\n" for event in events
        ]
        with self.path.open("a", encoding="ascii") as file:
            file.writelines(lines)
