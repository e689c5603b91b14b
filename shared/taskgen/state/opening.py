"""Opens a state by its URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from taskgen.errors import SettingsError, StoreError
from taskgen.redaction import without_password
from taskgen.state.database import Database
from taskgen.state.sqlite import SqliteDatabase
from taskgen.state.state import State

_OWNER: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def open_state(url: str, owner: str = "controller") -> State:
    """The state at a URL; the database is connected to on first use.

    Args:
        url: `sqlite:PATH` or `postgresql://user:password@host/database`. `sqlite:///PATH` is a relative path
            too, and `sqlite:////PATH` an absolute one, as in SQLAlchemy.
        owner: `controller`, or the name of a user's handler. A PostgreSQL database can hold the states of
            many owners, a SQLite file that of one.

    Raises:
        SettingsError: the URL or the owner's name is invalid.
        StoreError: the PostgreSQL driver is not installed.
    """
    if not _OWNER.fullmatch(owner):
        raise SettingsError(
            f"{owner!r} cannot be the name of a state's owner; use 1 to 40 letters, digits, _ . and -"
        )
    return State(_database(url, owner), owner)


def _database(url: str, owner: str) -> Database:
    kind, _, place = url.partition(":")
    path = place.removeprefix("//").removeprefix("/") if place.startswith("///") else place
    if kind == "sqlite" and path and not path.startswith("//"):
        return SqliteDatabase(Path(path))
    if kind in {"postgresql", "postgres"}:
        return _postgres(url, owner)
    raise SettingsError(
        f"{without_password(url)} is not the URL of a state; write sqlite:PATH or "
        "postgresql://user:password@host/database"
    )


def _postgres(url: str, owner: str) -> Database:
    try:
        from taskgen.state.postgres import PostgresDatabase  # noqa: PLC0415 - an extra that may be missing
    except ImportError as error:
        raise StoreError("to keep a state in PostgreSQL, install taskgen-events[postgres]") from error
    try:
        return PostgresDatabase(url, owner)
    except StoreError as error:
        raise SettingsError(str(error)) from error
