"""The state in PostgreSQL: in a schema of its own, so that a database may hold events as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from taskgen.errors import StoreError
from taskgen.events.postgres_server import Connection, PostgresServer
from taskgen.events.rows import schema
from taskgen.state.database import Values

_VERSION: Final = 2
_LOCK: Final = 0x7461736B67656F
"""Of those who make the tables; any number that others do not use."""

Cursor = psycopg.Cursor[tuple[Any, ...]]


class PostgresDatabase:
    """See `Database`; after a lost connection the next use connects again.

    Args:
        dsn: `postgresql://user:password@host/database` or any other form that libpq takes.
        owner: whose state it is; the name of the schema is made of it.

    Raises:
        StoreError: the address cannot be understood.
    """

    def __init__(self, dsn: str, owner: str) -> None:
        self._server = PostgresServer(dsn)
        self._schema = f"taskgen_{owner}"
        self._connection: Connection | None = None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """See `Database`."""
        with self._server.translated(), self._connected().cursor() as cursor:
            return cursor.execute(_statement(query), values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[PostgresWriter]:
        """See `Database`."""
        with self._server.transaction(self._connected()) as cursor:
            yield PostgresWriter(cursor)

    def close(self) -> None:
        """See `Database`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = None
            connection = self._server.connect()
            with self._server.transaction(connection) as cursor:
                self._make_tables(cursor)
            self._connection = connection
        return self._connection

    def _make_tables(self, cursor: Cursor) -> None:
        """Make the schema unless it is there; one at a time, as standbys start at the same moment."""
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        name = sql.Identifier(self._schema)
        is_there = cursor.execute(
            "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (self._schema,)
        ).fetchone()
        if not is_there:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        cursor.execute(sql.SQL("SET search_path TO {}").format(name))
        if not self._is_made(cursor):
            cursor.execute(schema("state.sql", "taskgen.state").encode())
            cursor.execute(schema("jobs_postgres.sql", "taskgen.state").encode())
            cursor.execute("CREATE TABLE state_schema (version integer NOT NULL)")
            cursor.execute("INSERT INTO state_schema (version) VALUES (%s)", (_VERSION,))

    def _is_made(self, cursor: Cursor) -> bool:
        row = cursor.execute("SELECT to_regclass('state_schema') IS NOT NULL").fetchone()
        if row == (False,):
            return False
        row = cursor.execute("SELECT max(version) FROM state_schema").fetchone()
        version = row[0] if row else None
        if version != _VERSION:
            is_older = version is not None and version < _VERSION
            age, way_out = ("older", "give") if is_older else ("newer", "upgrade taskgen or give")
            raise StoreError(
                f"{self._server.name}: schema {self._schema} was made by a {age} taskgen (version {version}, "
                f"this one knows {_VERSION}); {way_out} another database"
            )
        return True


class PostgresWriter:
    """See `Writer`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def run(self, statement: str, *values: Any) -> int:
        """See `Writer`."""
        return self._cursor.execute(_statement(statement), values).rowcount

    def many(self, statement: str, rows: Iterable[Values]) -> None:
        """See `Writer`."""
        self._cursor.executemany(_statement(statement), list(rows))


def _statement(text: str) -> bytes:
    """With the placeholders of psycopg, which as bytes it takes from a variable."""
    return text.replace("?", "%s").encode()
