"""Records what simulated boards sent, so that tests can compare it with the stores."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskgen.errors import SettingsError
from taskgen.simulation.frames import Attributes

EARLIER_CLIENT: Final = "earlier-client"
"""Why an event is late: the run belongs to a client that has gone."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A file with one JSON line per event, appended once the event was sent; boards may share it.

    A line has `board` (`host:port`), `connection` and `run` (counted from 1 for each board; `run` is 0
    before the first) and the event's attributes as xmltodict names them (`@type`, `@task-id`,
    `@time-stamp`). If a fault made the event unreadable or late, `destroyed` or `late` has its name;
    `late` is `earlier-client` if the event was sent to another client than the one that had started its run.
    """

    path: Path | None
    """None: write nothing."""

    def begin(self) -> None:
        """Create the file if it does not exist, so that a wrong path is reported before any board listens.

        Raises:
            SettingsError: it cannot be written.
        """
        if self.path is None:
            return
        try:
            self.path.open("a").close()
        except OSError as error:
            raise SettingsError(f"truth: cannot write: {error}") from error

    def record(self, events: Iterable[Attributes], **more: str | int) -> None:
        """Append a line for each event, and flush the file."""
        if self.path is None:
            return
        lines = [
            json.dumps(more | {f"@{name}": value for name, value in event.items()}) + "\n" for event in events
        ]
        with self.path.open("a", encoding="ascii") as file:
            file.writelines(lines)
