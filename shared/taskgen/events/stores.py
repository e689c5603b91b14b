"""The kinds of stores, by the schemes of their names: `sqlite:PATH`, `csv:PATH`, `postgresql://...`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from taskgen.errors import StoreError
from taskgen.events.base import StoringHandler
from taskgen.events.csv import CsvHandler
from taskgen.events.csv_file import translated
from taskgen.events.csv_parts import open_parts
from taskgen.events.csv_reader import CsvReader, Part
from taskgen.events.readers import StoreReader
from taskgen.events.sql import SqliteHandler, SqliteReader
from taskgen.redaction import without_password


class StoreKind(NamedTuple):
    """Opens a kind of store, given the text after its scheme."""

    write: Callable[[str], StoringHandler]
    read: Callable[[str], StoreReader]


def open_handler(spec: str) -> StoringHandler:
    """Open a store for writing.

    Args:
        spec: `sqlite:PATH`, `csv:PATH` or `postgresql://...`.

    Raises:
        StoreError: it cannot be opened, or the name is not that of a store.
        CredentialsError: the database refuses this user.
    """
    kind, place = _named(spec)
    return kind.write(place)


def open_store(spec: str) -> StoreReader:
    """Open a store for reading.

    Args:
        spec: `sqlite:PATH`, `csv:PATH` (a file, or the folder of a csv sink) or `postgresql://...`.

    Raises:
        StoreError: there is no such store.
        CredentialsError: the database refuses this user.
    """
    kind, place = _named(spec)
    return kind.read(place)


def scheme_of(spec: str) -> str:
    """The scheme of a store, such as `sqlite`."""
    return spec.partition(":")[0]


def _named(spec: str) -> tuple[StoreKind, str]:
    scheme, _, place = spec.partition(":")
    kind = _KINDS.get(scheme)
    if kind is None or not place:
        raise StoreError(
            f"{without_password(spec)!r} is not a store; write sqlite:PATH, csv:PATH or "
            "postgresql://user:password@host/name"
        )
    return kind, place


def _read_csv(place: str) -> StoreReader:
    path = Path(place)
    with translated(path, StoreError):
        is_folder = path.is_dir()
    return open_parts(place) if is_folder else CsvReader(f"csv:{place}", Part(path))


def _write_postgres(place: str) -> StoringHandler:
    try:
        from taskgen.events.postgres import PostgresHandler  # noqa: PLC0415 - an extra, not always there
    except ImportError as error:
        raise StoreError(_POSTGRES_MISSING) from error
    return PostgresHandler(f"postgresql:{place}")


def _read_postgres(place: str) -> StoreReader:
    try:
        from taskgen.events.postgres import PostgresReader  # noqa: PLC0415 - an extra, not always there
    except ImportError as error:
        raise StoreError(_POSTGRES_MISSING) from error
    return PostgresReader(f"postgresql:{place}")


_POSTGRES_MISSING: Final = "for PostgreSQL, install taskgen-events[postgres]"
_KINDS: Final = {
    "sqlite": StoreKind(SqliteHandler, SqliteReader),
    "csv": StoreKind(CsvHandler, _read_csv),
    "postgresql": StoreKind(_write_postgres, _read_postgres),
    "postgres": StoreKind(_write_postgres, _read_postgres),
}
