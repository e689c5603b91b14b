"""The state in a SQLite file, for a single machine or a test."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from taskgen.events.sqlite_file import Kind, SqliteFile
from taskgen.events.tables import SQLITE_MAX
from taskgen.state.database import Database, Values, Writer

_KIND: Final = Kind(
    "the state of a controller or handler",
    0x7461736C,
    2,
    ("state.sql", "job_states_sqlite.sql"),
    "taskgen.state",
)
_BUSY_TIMEOUT_S: Final = 10.0


class SqliteDatabase(Database):
    """Implements `Database` on a file that is created if it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: SqliteFile | None = None

    @override
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(self._opened().rows(query, *map(_storable, values)))

    @override
    @contextmanager
    def transaction(self) -> Iterator[Writer]:
        with self._opened().transaction() as connection:
            yield _SqliteWriter(connection)

    @override
    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> SqliteFile:
        if self._file is None:
            self._file = SqliteFile(self._path, _KIND, _BUSY_TIMEOUT_S)
        return self._file


class _SqliteWriter(Writer):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @override
    def run(self, statement: str, *values: Any) -> int:
        return self._connection.execute(statement, tuple(map(_storable, values))).rowcount

    @override
    def many(self, statement: str, rows: Iterable[Values]) -> None:
        rows = list(rows)
        self._connection.execute("SAVEPOINT rows")
        try:
            self._connection.executemany(statement, rows)
        except OverflowError:  # rare: only then inspect each value
            self._connection.execute("ROLLBACK TO rows")
            self._connection.executemany(statement, [tuple(map(_storable, row)) for row in rows])
        self._connection.execute("RELEASE rows")


def _storable(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """The value, or its text if it is a number too large for SQLite."""
    return str(value) if isinstance(value, int) and value > SQLITE_MAX else value
