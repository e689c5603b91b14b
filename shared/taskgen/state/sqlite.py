"""The state in a SQLite file: for one machine, or a test."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from taskgen.events.rows import SQLITE_MAX
from taskgen.events.sqlite_file import Kind, SqliteFile
from taskgen.state.database import Values

_KIND: Final = Kind(
    "the state of a controller or handler", 0x7461736C, 2, ("state.sql", "jobs_sqlite.sql"), "taskgen.state"
)
_BUSY_TIMEOUT_S: Final = 10.0


class SqliteDatabase:
    """See `Database`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: SqliteFile | None = None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """See `Database`."""
        return list(self._opened().rows(query, *map(_kept, values)))

    @contextmanager
    def transaction(self) -> Iterator[SqliteWriter]:
        """See `Database`."""
        with self._opened().transaction() as connection:
            yield SqliteWriter(connection)

    def close(self) -> None:
        """See `Database`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> SqliteFile:
        if self._file is None:
            self._file = SqliteFile(self._path, _KIND, _BUSY_TIMEOUT_S)
        return self._file


class SqliteWriter:
    """See `Writer`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, *values: Any) -> int:
        """See `Writer`."""
        return self._connection.execute(statement, tuple(map(_kept, values))).rowcount

    def many(self, statement: str, rows: Iterable[Values]) -> None:
        """See `Writer`."""
        self._connection.executemany(statement, (tuple(map(_kept, row)) for row in rows))


def _kept(value: Any) -> Any:  # noqa: ANN401 - what a column holds
    """A number too large for SQLite as text."""
    return str(value) if isinstance(value, int) and value > SQLITE_MAX else value
