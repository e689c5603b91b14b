"""The interface for reading every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from taskgen.event import Quarantined
from taskgen.events.accounts import Account, Progress
from taskgen.events.base import EventRow
from taskgen.run import Run


class StoreReader(Protocol):
    """Reads a store row by row, even while it is being written; close it after use."""

    @property
    def name(self) -> str:
        """Its name in reports; without a password."""

    @property
    def knows_ends(self) -> bool:
        """Whether the store keeps how runs ended; a plain CSV file does not."""

    @property
    def keeps_tasks(self) -> bool:
        """Whether the store keeps the parameters of the runs' tasks; CSV files do not."""

    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id; `outcome` is None if the end of a run is not stored."""

    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq; as often as they are stored."""

    def accounts(self, progress: Progress) -> Iterator[Account]:
        """The store's data of each run that it knows, ordered by id; reads everything once.

        Args:
            progress: is called with the number of further events read.
        """

    def quarantined(self) -> Iterator[Quarantined]:
        """Received data that is not a valid event."""

    def close(self) -> None:
        """Close files and connections."""
