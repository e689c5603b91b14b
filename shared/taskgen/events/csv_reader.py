"""Reads CSV files run by run: their lines stand in the order in which they came."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskgen.event import Quarantined
from taskgen.events.csv import read_quarantined, read_rows
from taskgen.events.sql import END_RUN, KNOW_RUN, RUNS, event_from, event_stored
from taskgen.events.sqlite_file import check_place
from taskgen.events.storing import EventRow
from taskgen.events.tables import end_values, run_from, run_values
from taskgen.run import Run

_TABLES: Final = """
    CREATE TABLE runs (run_id TEXT PRIMARY KEY, taskset_id, board, attempt, variant, started_at, ended_at,
                       outcome, reason, events) WITHOUT ROWID;
    CREATE TABLE events (run_id TEXT, seq INTEGER, task_id, type, time_stamp, received_at, attributes)
"""
_EVENT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
_EVENTS: Final = "SELECT * FROM events WHERE run_id = ? ORDER BY seq, rowid"


@dataclass(frozen=True, slots=True)
class Part:
    """A file, and how many bytes of it and of its quarantine count; None: all."""

    path: Path
    length: int | None = None
    quarantine_length: int | None = None


class CsvReader:
    """Reads a file or the parts of one; see `taskgen.events.reading.StoreReader`.

    The lines are sorted in a temporary SQLite database, so memory stays small and the disk needs room for
    them a second time.
    """

    def __init__(self, name: str, *parts: Part, known: Iterable[Run] | None = None) -> None:
        """Read the files.

        Args:
            name: how the store is called in reports.
            parts: one or more files.
            known: what another file tells of runs, their ends too; None if there is no such file.

        Raises:
            StoreError: one is missing or is another file.
        """
        self.knows_ends = known is not None
        self.name = name
        self._parts = parts
        self._connection = sqlite3.connect("", isolation_level=None)
        try:
            self._connection.executescript(_TABLES)
            self._connection.execute("BEGIN")
            self._connection.executemany(END_RUN, map(end_values, known or ()))
            for part in parts:
                check_place(part.path, must_exist=True)
                self._load(part)
            self._connection.execute("CREATE INDEX in_order ON events (run_id, seq)")
        except BaseException:
            self._connection.close()
            raise

    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id."""
        with closing(self._connection.execute(RUNS)) as cursor:
            yield from map(run_from, cursor)

    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq; as often as they are there."""
        with closing(self._connection.execute(_EVENTS, (run_id,))) as cursor:
            yield from map(event_from, cursor)

    def quarantined(self) -> Iterator[Quarantined]:
        """What was received that is no event."""
        for part in self._parts:
            yield from read_quarantined(part.path, part.quarantine_length)

    def close(self) -> None:
        """Forget what was read."""
        self._connection.close()

    def _load(self, part: Part) -> None:
        last = ""
        for run, row in read_rows(part.path, part.length):
            if run.run_id != last:
                self._connection.execute(KNOW_RUN, run_values(run))
                last = run.run_id
            self._connection.execute(_EVENT, event_stored(row))
