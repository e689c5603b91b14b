"""A SQLite file that several processes write, and the translation of the driver's errors."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from taskgen.errors import StoreError, StoreUnavailableError, UnstorableError
from taskgen.events.decoding import decoded, shown
from taskgen.events.tables import schema
from taskgen.redaction import without_password

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_PRIMARY_CODE: Final = 0xFF
_LATER: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
    }
)
"""Errors after which a retry may succeed; an I/O error can be a quota or a full network disk."""
_OF_THE_DATA: Final = (OverflowError, sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError)
_FAULTS: Final = (sqlite3.Error, OverflowError, UnicodeDecodeError)
"""Errors of the driver; the last one if even its message is not text."""
_MARKS: Final = (
    "SELECT (SELECT application_id FROM pragma_application_id), "
    "(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
)
_PAUSE_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of a file, written into its header so that it is not mistaken for another database."""

    name: str
    application_id: int
    version: int
    schemas: tuple[str, ...]
    """The `.sql` files with its schema ..."""
    package: str = "taskgen.events"
    """... and where they are."""
    upgrades: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """By an older version: the `.sql` files that upgrade it to the next one."""
    after_upgrade: Callable[[sqlite3.Connection], None] | None = None
    """Fills new tables, in the same transaction."""


class SqliteFile:
    """A connection to a file of a kind, which is created if necessary.

    It may be used from any thread, by one at a time.
    """

    def __init__(self, path: Path, kind: Kind, busy_timeout_s: float, *, is_read_only: bool = False) -> None:
        """Open the file.

        Raises:
            StoreError: it is no such file, of another version, or cannot be opened.
            StoreUnavailableError: it was locked for longer than `busy_timeout_s`.
        """
        self.path = path
        self._kind = kind
        self._busy_timeout_s = busy_timeout_s
        check_place(path, must_exist=is_read_only)
        self._open(is_read_only=is_read_only)

    def _open(self, *, is_read_only: bool) -> None:
        path, busy_timeout_s = self.path, self._busy_timeout_s
        with self._translated():
            self.connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?{_reading(path) if is_read_only else 'mode=rwc'}",
                uri=True,
                timeout=busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with self._translated():
                self._prepare(is_read_only=is_read_only)
        except BaseException:
            self.connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a write transaction; roll back on an error."""
        with self._translated():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def check_writable(self) -> None:
        """Write without changing anything, to find a lock or a full disk.

        Raises:
            StoreUnavailableError: it cannot be written now.
        """
        with self.transaction() as connection:
            connection.execute(f"PRAGMA user_version = {self._kind.version}")

    def rows(self, query: str, *values: str | int) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one by one."""
        row: tuple[Any, ...] = ()
        try:
            for row in self.connection.execute(query, values):
                yield row
        except _FAULTS as error:
            raise self._translation(error, f" behind row {_key(row)}" if row else "") from error

    def read(
        self, table: str, decode: Callable[[tuple[Any, ...]], _T], query: str, *values: str | int
    ) -> Iterator[_T]:
        """Decode the rows of a query; `table` names their place in errors.

        Raises:
            StoreError: a row is invalid; the error names it.
        """
        return decoded(
            self.rows(query, *values), decode, lambda row: f"{self.path}: {table}, row {_key(row)}"
        )

    def close(self) -> None:
        """Close the connection; safe to repeat."""
        self.connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _FAULTS as error:
            raise self._translation(error) from error

    def _translation(self, error: Exception, where: str = "") -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
        kind = StoreUnavailableError if code in _LATER else StoreError
        if isinstance(error, _OF_THE_DATA):
            kind = UnstorableError
        return kind(f"{self.path}:{where} {' '.join(str(error).split())}")

    def _prepare(self, *, is_read_only: bool) -> None:
        version = self._version()
        if is_read_only:
            if version is None:
                raise StoreError(f"{self.path}: is empty, not {self._kind.name}")
            if version < self._kind.version:
                self._upgrade_and_reopen()
                return
            self.connection.execute("BEGIN")  # all reading then sees the file as it is at one moment
            return
        self._use_wal()
        self.connection.execute("PRAGMA synchronous = FULL")
        if version != self._kind.version:
            self._make()

    def _upgrade_and_reopen(self) -> None:
        """Upgrade a file of an older version before it is read."""
        if not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)):
            raise StoreError(
                f"{self.path}: was created by an older taskgen and has to be upgraded, but cannot be "
                "written; copy it to a writable folder, and give the copy"
            )
        self.connection.close()
        SqliteFile(self.path, self._kind, self._busy_timeout_s).close()
        self._open(is_read_only=True)

    def _version(self) -> int | None:
        """Check the kind of the file before anything is written; returns None if it is empty."""
        # One statement: another process may be making the tables at this moment.
        application_id, version, tables = self.connection.execute(_MARKS).fetchone()
        if not (application_id or version or tables):
            return None
        if application_id != self._kind.application_id:
            raise StoreError(f"{self.path}: is another database, not {self._kind.name}; give another path")
        if version != self._kind.version and version not in self._kind.upgrades:
            is_older = version < self._kind.version
            age, way_out = ("an older", "give") if is_older else ("a newer", "upgrade taskgen or give")
            raise StoreError(
                f"{self.path}: was made by {age} taskgen (version {version} of {self._kind.name}, this one "
                f"knows {self._kind.version}); {way_out} another path"
            )
        return int(version)

    def _use_wal(self) -> None:
        """Switch to WAL mode, in which readers do not block writers; retry while others switch, too."""
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def _make(self) -> None:
        with self.transaction() as connection:
            version = self._version()  # another process may have done it already
            if version is None:
                self._run(connection, self._kind.schemas)
                connection.execute(f"PRAGMA application_id = {self._kind.application_id}")
            elif version < self._kind.version:
                log.warning("%s: upgrading %s from version %d", self.path, self._kind.name, version)
                for older in range(version, self._kind.version):
                    self._run(connection, self._kind.upgrades[older])
                if self._kind.after_upgrade is not None:
                    self._kind.after_upgrade(connection)
            connection.execute(f"PRAGMA user_version = {self._kind.version}")

    def _run(self, connection: sqlite3.Connection, names: tuple[str, ...]) -> None:
        """Run the statements of `.sql` files."""
        for name in names:
            for statement in _statements(schema(name, self._kind.package)):
                connection.execute(statement)


def _reading(path: Path) -> str:
    """How to open a file for reading: beside a writer, SQLite needs write access, too.

    Where that is impossible, and nobody has the file open, as the absence of its log tells, it is read as
    one that does not change.
    """
    is_at_rest = not path.with_name(f"{path.name}-wal").exists()
    return "mode=ro&immutable=1" if is_at_rest and not os.access(path.parent, os.W_OK) else "mode=ro"


def check_place(path: Path, *, must_exist: bool = False) -> None:
    """Report a faulty path in our words, before the driver does in its own.

    Raises:
        StoreError: there can be no file.
    """
    # A DSN may have been given for a path.
    place, folder = without_password(str(path)), without_password(str(path.parent))
    try:
        if path.is_dir():
            raise StoreError(f"{place}: is a folder; give the path of a file")
        if not path.parent.is_dir():
            raise StoreError(f"{place}: there is no folder {folder}; create it, or give another path")
        if must_exist and not path.exists():
            raise StoreError(f"{place}: there is no such file")
        if path.exists() and not path.is_file():
            raise StoreError(f"{place}: is a device or a pipe; give the path of a file")
    except OSError as error:
        raise StoreError(f"{place}: {error.strerror}") from error


def _key(row: tuple[Any, ...]) -> str:
    """The name of a row: its key columns, which come first in every query."""
    return shown(row[:2])


def _statements(script: str) -> Iterator[str]:
    """Split statements, because `executescript` would commit the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
