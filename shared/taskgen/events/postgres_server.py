"""A PostgreSQL server: how it is reached, and its driver's errors translated in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from taskgen.errors import CredentialsError, StoreError, StoreUnavailableError, TaskgenError, UnstorableError

Connection = psycopg.Connection[tuple[Any, ...]]

_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "tcp_user_timeout": 30_000,
    "application_name": "taskgen",
    # A replica that froze in a transaction must not hold up the others for ever.
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
}
_REFUSED: Final = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")
"""How the server says no while connecting: there is no SQLSTATE yet that the driver would hand on."""
_LATER: Final = ("08", "40", "53", "55", "57", "58")
"""SQLSTATE classes of what may be over soon: connection, deadlock, full disk, lock, shutdown, I/O."""
_TOO_LARGE: Final = "54"
"""SQLSTATE class of what goes over a limit of the server, such as the size of an index's entry."""


class PostgresServer:
    """How to reach a database; translates the driver's errors.

    After a failed transaction its connection is closed: ask for another one.
    """

    def __init__(self, dsn: str) -> None:
        """Understand an address.

        Args:
            dsn: `postgresql://user:password@host/database` or any other form that libpq takes.

        Raises:
            StoreError: it cannot be understood.
        """
        try:
            parameters = conninfo_to_dict(dsn)
        except psycopg.Error as error:
            raise StoreError(
                f"not the address of a PostgreSQL database: {_first_line(error)}; "
                "write postgresql://user:password@host/database"
            ) from error
        self._conninfo = make_conninfo(**(_DEFAULTS | parameters))
        place = f"{parameters.get('host', 'local')}:{parameters.get('port', 5432)}"
        self.name = f"postgresql://{place}/{parameters.get('dbname', '')}"

    def connect(self) -> Connection:
        """Connect; statements outside of a transaction commit on their own.

        Raises:
            StoreUnavailableError: no server there, now.
            CredentialsError: it refuses this user.
        """
        with self.translated():
            return psycopg.connect(self._conninfo, autocommit=True)

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
        """Commit at the end; on an error undo everything and close the connection.

        It may be open and yet never work again: the driver can leave it in a pipeline that the server's
        death broke, and then every later statement fails, on a server that is long back.
        """
        try:
            with self.translated(), connection.transaction(), connection.cursor() as cursor:
                yield cursor
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The driver's errors become those of this library."""
        try:
            yield
        except psycopg.Error as error:
            raise self._translation(error) from error

    def _translation(self, error: psycopg.Error) -> TaskgenError:
        text = f"{self.name}: {_first_line(error)}"
        state = error.sqlstate or ""
        if state.startswith("28") or (not state and any(words in str(error) for words in _REFUSED)):
            return CredentialsError(f"{text}; check user, password and database")
        if state[:2] in _LATER or (not state and isinstance(error, psycopg.OperationalError)):
            return StoreUnavailableError(text)
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError) or state.startswith(_TOO_LARGE):
            return UnstorableError(text)
        return StoreError(text)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
