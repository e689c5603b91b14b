"""What can be read from every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from taskgen.event import Quarantined
from taskgen.events.accounts import Account, Progress
from taskgen.events.base import EventRow
from taskgen.run import Run


class StoreReader(Protocol):
    """Reads a store row by row, also while it is being written; to be closed."""

    @property
    def name(self) -> str:
        """How it is called in reports; without a password."""

    @property
    def knows_ends(self) -> bool:
        """Whether the store keeps how runs ended; a plain CSV file does not."""

    @property
    def keeps_tasks(self) -> bool:
        """Whether the store keeps the parameters of the runs' tasks; CSV files do not."""

    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id; of a run that has not ended (or not here) `outcome` is None."""

    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq; as often as they are stored."""

    def accounts(self, progress: Progress) -> Iterator[Account]:
        """What the store has of each run that it has anything of, ordered by id; reads everything once.

        Args:
            progress: is called with the number of further events read.
        """

    def quarantined(self) -> Iterator[Quarantined]:
        """What was received that is no event."""

    def close(self) -> None:
        """Let go of files and connections."""
