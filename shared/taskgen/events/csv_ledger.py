"""The ledger beside the parts of a CSV store: a SQLite file that records their contents."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from taskgen.event import Quarantined
from taskgen.events.base import Batch
from taskgen.events.decoding import decoded, number, shown, text
from taskgen.events.ranges import Ranges
from taskgen.events.sqlite_file import Kind, SqliteFile
from taskgen.events.tables import (
    END_RUN,
    INSERT_RUN,
    SELECT_RUNS,
    end_values,
    ended_runs,
    known_runs,
    quarantine_digest,
    run_from,
    run_values,
)
from taskgen.run import Run

NAME: Final = "ledger.db"
_KIND: Final = Kind("a ledger of taskgen's CSV files", 0x74676C64, 1, ("runs.sql", "ledger.sql"))


class Ledger:
    """Records the data stored by all replicas."""

    def __init__(self, directory: Path, busy_timeout_s: float, *, is_read_only: bool = False) -> None:
        """Open the ledger of a folder, creating it if necessary."""
        self._file = SqliteFile(directory / NAME, _KIND, busy_timeout_s, is_read_only=is_read_only)

    @contextmanager
    def entry(self) -> Iterator[Entry]:
        """Write exclusively, in one transaction."""
        with self._file.transaction() as connection:
            yield Entry(connection)

    def lengths(self) -> dict[str, int]:
        """The valid length of each file, in bytes, by name."""
        return dict(self._file.read("files", _length_of, "SELECT name, length FROM files"))

    def runs(self) -> Iterator[Run]:
        """All known runs, ordered by id."""
        return self._file.read("runs", run_from, f"{SELECT_RUNS} ORDER BY run_id")

    def check_writable(self) -> None:
        """Check that the ledger accepts writes.

        Raises:
            StoreUnavailableError: it does not now.
        """
        self._file.check_writable()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Entry:
    """Writes the changes of one batch to the ledger."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def know_runs(self, batch: Batch) -> None:
        """Record the runs of a batch, and their ends."""
        self._connection.executemany(INSERT_RUN, map(run_values, known_runs(batch)))
        self._connection.executemany(END_RUN, map(end_values, ended_runs(batch)))

    def stored(self, run_id: str, first: int, end: int) -> Ranges:
        """The stored ranges of a run's events that overlap or touch `first` to `end`."""
        rows = self._connection.execute(
            "SELECT first_seq, first_seq + count FROM stored "
            "WHERE run_id = ? AND first_seq <= ? AND first_seq + count >= ? ORDER BY first_seq",
            (run_id, end, first),
        )
        return Ranges(decoded(rows, _range_of, lambda row: f"{NAME}: stored, run {shown(run_id)}, row {row}"))

    def set_stored(self, run_id: str, ranges: Ranges) -> None:
        """Replace the ranges that `stored` returned by these."""
        first, end = ranges.first, ranges.end
        self._connection.execute(
            "DELETE FROM stored WHERE run_id = ? AND first_seq BETWEEN ? AND ?", (run_id, first, end)
        )
        self._connection.executemany(
            "INSERT INTO stored (run_id, first_seq, count) VALUES (?, ?, ?)",
            ((run_id, first, end - first) for first, end in ranges),
        )

    def new_quarantined(self, quarantined: list[Quarantined]) -> list[Quarantined]:
        """Those that are not stored yet; records them as stored."""
        return [one for one in quarantined if self._is_new(quarantine_digest(one))]

    def set_length(self, path: Path, length: int) -> None:
        """Record the valid length of a file."""
        self._connection.execute(
            "INSERT INTO files (name, length) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET length = excluded.length",
            (path.name, length),
        )

    def _is_new(self, digest: str) -> bool:
        cursor = self._connection.execute(
            "INSERT INTO quarantined (digest) VALUES (?) ON CONFLICT DO NOTHING", (digest,)
        )
        return cursor.rowcount == 1


def _length_of(row: tuple[Any, ...]) -> tuple[str, int]:
    name, length = row
    if Path(text("name", name)).name != name or "\0" in name:
        raise ValueError(f"name is {shown(name)}, not the name of a file")
    if number("length", length) < 0:
        raise ValueError(f"length is {length}, which is negative")
    return name, length


def _range_of(row: tuple[Any, ...]) -> tuple[int, int]:
    first, end = row
    return number("first_seq", first), number("first_seq + count", end)
