"""The state in PostgreSQL, in a schema of its own: the same database may hold events and other states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from typing_extensions import override

from taskgen.errors import StoreError
from taskgen.events.postgres_server import Connection, PostgresServer
from taskgen.events.tables import schema
from taskgen.state.database import Database, Values, Writer

_VERSION: Final = 2
_LOCK: Final = 0x7461736B67656F
"""Advisory lock for creating the tables: an arbitrary number that nothing else uses."""

Cursor = psycopg.Cursor[tuple[Any, ...]]


class PostgresDatabase(Database):
    """Implements `Database`; reconnects on the next use after a lost connection.

    Args:
        dsn: `postgresql://user:password@host/database` or any other form that libpq accepts.
        owner: part of the schema's name.

    Raises:
        StoreError: the address is invalid.
    """

    def __init__(self, dsn: str, owner: str) -> None:
        self._server = PostgresServer(dsn)
        self._schema = f"taskgen_{owner}"
        self._connection: Connection | None = None

    @override
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._server.translated(), self._connected().cursor() as cursor:
            return cursor.execute(_statement(query), values).fetchall()

    @override
    @contextmanager
    def transaction(self) -> Iterator[Writer]:
        with self._server.transaction(self._connected()) as cursor:
            yield _PostgresWriter(cursor)

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = None
            connection = self._server.connect()
            with self._server.transaction(connection) as cursor:
                self._create_tables(cursor)
            self._connection = connection
        return self._connection

    def _create_tables(self, cursor: Cursor) -> None:
        """Create the schema if it is missing; under a lock, as standbys start at the same moment."""
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        name = sql.Identifier(self._schema)
        exists = cursor.execute(
            "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (self._schema,)
        ).fetchone()
        if not exists:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        cursor.execute(sql.SQL("SET search_path TO {}").format(name))
        if not self._has_tables(cursor):
            cursor.execute(schema("state.sql", "taskgen.state").encode())
            cursor.execute(schema("job_states_postgres.sql", "taskgen.state").encode())
            cursor.execute("CREATE TABLE state_schema (version integer NOT NULL)")
            cursor.execute("INSERT INTO state_schema (version) VALUES (%s)", (_VERSION,))

    def _has_tables(self, cursor: Cursor) -> bool:
        row = cursor.execute("SELECT to_regclass('state_schema') IS NOT NULL").fetchone()
        if row == (False,):
            return False
        row = cursor.execute("SELECT max(version) FROM state_schema").fetchone()
        version = row[0] if row else None
        if version != _VERSION:
            is_older = version is not None and version < _VERSION
            age, remedy = ("an older", "give") if is_older else ("a newer", "upgrade taskgen or give")
            raise StoreError(
                f"{self._server.name}: schema {self._schema} was created by {age} taskgen "
                f"(version {version}, this one supports {_VERSION}); {remedy} another database"
            )
        return True


class _PostgresWriter(Writer):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @override
    def run(self, statement: str, *values: Any) -> int:
        return self._cursor.execute(_statement(statement), values).rowcount

    @override
    def many(self, statement: str, rows: Iterable[Values]) -> None:
        self._cursor.executemany(_statement(statement), list(rows))


def _statement(text: str) -> bytes:
    """The statement with psycopg's placeholders; as bytes, since its types accept only literal strings."""
    return text.replace("?", "%s").encode()
