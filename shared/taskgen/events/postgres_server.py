"""The address of a PostgreSQL server, and the translation of the driver's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from taskgen.errors import CredentialsError, StoreError, StoreUnavailableError, TaskgenError, UnstorableError
from taskgen.redaction import without_password
from taskgen.untrusted_text import brief

Connection = psycopg.Connection[tuple[Any, ...]]

_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "tcp_user_timeout": 30_000,
    "application_name": "taskgen",
    # A replica that freezes in a transaction must not block the others indefinitely.
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
}
_NO_ADDRESS: Final = (
    "not the address of a PostgreSQL database; write postgresql://user:password@host/database, "
    "and @ : / ? # and % of a password as %40 %3A %2F %3F %23 and %25"
)
_SECRETS: Final = frozenset({"password", "sslpassword"})
_PASSWORD: Final = re.compile(r"pass\w*\s*=", re.IGNORECASE)
_REFUSED: Final = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")
"""Texts of refusals while connecting, for which the driver passes on no SQLSTATE."""
_LATER: Final = ("08", "40", "53", "55", "57", "58")
"""SQLSTATE classes of transient errors: connection, deadlock, full disk, lock, shutdown, I/O."""
_TOO_LARGE: Final = "54"
"""SQLSTATE class of exceeded limits, such as the size of an index entry."""


class PostgresServer:
    """The address of a database; translates the driver's errors.

    After a failed transaction its connection is closed: ask for another one.
    """

    def __init__(self, dsn: str) -> None:
        """Parse an address.

        Args:
            dsn: `postgresql://user:password@host/database` or any other form that libpq takes.

        Raises:
            StoreError: it is invalid.
        """
        parameters = _understood(dsn)
        self._conninfo = make_conninfo(**(_DEFAULTS | parameters))
        self.name = _name(parameters)
        # Without a password beside it, what stands for the user may be the password.
        self._hidden = None if parameters.get("password") else parameters.get("user")

    def connect(self) -> Connection:
        """Connect; statements outside of a transaction commit on their own.

        Raises:
            StoreUnavailableError: the server is not available now.
            CredentialsError: it refuses this user.
        """
        with self.translated():
            return psycopg.connect(self._conninfo, autocommit=True)

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
        """Commit at the end; on an error roll back and close the connection.

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
        """Translate the driver's errors into those of this library."""
        try:
            yield
        except psycopg.Error as error:
            raise self._translation(error) from error

    def _translation(self, error: psycopg.Error) -> TaskgenError:
        said = _first_line(error)
        if self._hidden:
            said = said.replace(f'"{self._hidden}"', '"***"')
        text = f"{self.name}: {said}"
        state = error.sqlstate or ""
        if state.startswith("28") or (not state and any(words in str(error) for words in _REFUSED)):
            return CredentialsError(f"{text}; check user, password and database")
        if state[:2] in _LATER or (not state and isinstance(error, psycopg.OperationalError)):
            return StoreUnavailableError(text)
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError) or state.startswith(_TOO_LARGE):
            return UnstorableError(text)
        return StoreError(text)


def _understood(dsn: str) -> dict[str, Any]:
    try:
        parameters = conninfo_to_dict(dsn)
    except (
        psycopg.Error,
        UnicodeError,
    ):  # its text may contain a part of the password, so it is not passed on
        parameters = None
    if parameters is None or not _are_told_apart(parameters):
        raise StoreError(_NO_ADDRESS)
    return parameters


def _are_told_apart(parameters: Mapping[str, Any]) -> bool:
    """Whether no part of an unencoded password has become part of something else."""
    others = {name: str(value) for name, value in parameters.items() if name not in _SECRETS}
    place = "".join(others.get(name, "") for name in ("host", "hostaddr", "port", "dbname"))
    return not (
        "@" in place
        or ":" in others.get("user", "")
        or re.fullmatch(r"[0-9]*(,[0-9]*)*", others.get("port", "")) is None
        or any(_PASSWORD.search(value) for name, value in others.items() if name != "options")
    )


def _name(parameters: Mapping[str, Any]) -> str:
    """The address as it was given; libpq's own errors name its defaults."""
    host, port = str(parameters.get("host", "")), parameters.get("port")
    place = f"[{host}]" if ":" in host else quote(host, safe=",")
    place += f":{port}" if port else ""
    return without_password(f"postgresql://{place}/{quote(parameters.get('dbname', ''), safe='')}")


def _first_line(error: Exception) -> str:
    return brief(str(error).strip().partition("\n")[0])
