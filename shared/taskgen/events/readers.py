"""What every store can be asked for, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from taskgen.errors import StoreError
from taskgen.event import Quarantined
from taskgen.events.accounts import Account, Progress
from taskgen.events.base import EventRow
from taskgen.events.csv_file import translated
from taskgen.events.csv_parts import open_parts
from taskgen.events.csv_reader import CsvReader, Part
from taskgen.events.sql import SqliteReader
from taskgen.redaction import without_password
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
            progress: is told how many more events were read.
        """

    def quarantined(self) -> Iterator[Quarantined]:
        """What was received that is no event."""

    def close(self) -> None:
        """Let go of files and connections."""


def open_store(spec: str) -> StoreReader:
    """Open a store for reading.

    Args:
        spec: `sqlite:PATH`, `csv:PATH` (a file, or the folder of a csv sink) or `postgresql://...`.

    Raises:
        StoreError: there is no such store.
        CredentialsError: the database refuses this user.
    """
    kind, _, place = spec.partition(":")
    if kind == "sqlite" and place:
        return SqliteReader(place)
    if kind == "csv" and place:
        path = Path(place)
        with translated(path, StoreError):
            is_folder = path.is_dir()
        return open_parts(place) if is_folder else CsvReader(spec, Part(path))
    if kind in ("postgresql", "postgres"):
        return _open_postgres(spec)
    raise StoreError(
        f"{without_password(spec)!r} is no store; write sqlite:PATH, csv:PATH or "
        "postgresql://user:password@host/name"
    )


def _open_postgres(dsn: str) -> StoreReader:
    try:
        from taskgen.events.postgres import PostgresReader  # noqa: PLC0415 - an extra, not always there
    except ImportError as error:
        raise StoreError("to read PostgreSQL install taskgen-events[postgres]") from error
    return PostgresReader(dsn)
