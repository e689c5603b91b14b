"""What a distributor has taken from its boards and the broker has not confirmed: a SQLite file each.

The files of all replicas lie in one folder. Each is locked while its process lives; whoever starts, and
from time to time whoever lives, adopts the unlocked ones.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple, Self

from taskgen.errors import SettingsError, StoreUnavailableError
from taskgen.run import new_id

log = logging.getLogger(__name__)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, message_id TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS open_runs (
    run_id TEXT PRIMARY KEY, head TEXT NOT NULL, events INTEGER NOT NULL
);
"""

_INSERT: Final = "INSERT INTO messages (key, message_id, body) VALUES (?, ?, ?)"
_REMEMBER: Final = "INSERT OR REPLACE INTO open_runs (run_id, head, events) VALUES (?, ?, ?)"
_FORGET: Final = "DELETE FROM open_runs WHERE run_id = ?"
_ALL: Final = "SELECT key, message_id, body FROM messages ORDER BY id"


class Entry(NamedTuple):
    """A message for the exchange of events."""

    key: str
    message_id: str
    body: bytes


class Stored(NamedTuple):
    """An entry and its place."""

    id: int
    entry: Entry


class OpenRun(NamedTuple):
    """A run whose end was not written."""

    run_id: str
    head: str
    """JSON of its `RunHead`."""
    events: int
    """How many of its events were written."""


@dataclass(slots=True)
class Changes:
    """What is written in one transaction."""

    entries: list[Entry] = field(default_factory=list)
    open_runs: dict[str, OpenRun] = field(default_factory=dict)
    """Runs that began or went on, as they are now."""
    closed_runs: set[str] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.entries or self.open_runs or self.closed_runs)


class Outbox:
    """The file of a process, and the adoption of those that others left.

    Args:
        folder: made if it is not there.
        max_bytes: of waiting messages; above it nothing is taken until the broker has confirmed some.

    Raises:
        SettingsError: the folder cannot be written.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._guard = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._path, self._lock = self._own_file()
            self._database = _open(self._path)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"TASKGEN_OUTBOX_PATH: {folder} cannot be written: {error}") from error
        self._bytes = 0

    def write(self, changes: Changes) -> None:
        """Keep messages and the state of their runs, on disk when this returns.

        Raises:
            StoreUnavailableError: it is full, or the disk is; nothing was written.
        """
        size = sum(len(entry.body) for entry in changes.entries)
        if self._bytes and self._bytes + size > self._max_bytes:
            raise StoreUnavailableError(
                f"the outbox holds {self._bytes} bytes, the limit is {self._max_bytes}: no broker takes them"
            )
        with self._transaction() as database:
            database.executemany(_INSERT, changes.entries)
            database.executemany(_REMEMBER, changes.open_runs.values())
            database.executemany(_FORGET, [(r,) for r in changes.closed_runs])
            self._bytes += size

    def first(self, limit: int) -> list[Stored]:
        """The oldest messages."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT id, key, message_id, body FROM messages ORDER BY id LIMIT ?", (limit,)
            ).fetchall()
        return [Stored(row[0], Entry(*row[1:])) for row in rows]

    def remove(self, stored: Sequence[Stored]) -> None:
        """Forget messages: the broker has them."""
        with self._transaction() as database:
            database.executemany("DELETE FROM messages WHERE id = ?", [(one.id,) for one in stored])
            self._bytes -= sum(len(one.entry.body) for one in stored)

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return self._count("messages")

    def adopt(self) -> list[OpenRun]:
        """Take over what processes that live no longer have left; returns their open runs.

        A file that cannot be read, or for which there is no room now, stays and is said in the log.
        """
        runs: list[OpenRun] = []
        for path in self._others():
            lock = _try_lock(path)
            if lock is None:
                continue
            with lock:
                try:
                    runs += self._merge(path)
                except StoreUnavailableError as error:
                    log.error("%s is left as it is: %s", path.name, error)  # noqa: TRY400 - one line says it
                else:
                    _delete(path)
        return runs

    def close(self) -> None:
        """Let go of the file; it is deleted if nothing is left in it."""
        is_empty = not self.depth and not self._count("open_runs")
        self._database.close()
        if is_empty:
            _delete(self._path)
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own_file(self) -> tuple[Path, IO[bytes]]:
        path = self._folder / f"outbox-{new_id()}.db"
        lock = _try_lock(path)
        if lock is None:
            raise OSError(f"{path} is locked")
        return path, lock

    def _others(self) -> Iterable[Path]:
        return [path for path in sorted(self._folder.glob("outbox-*.db")) if path != self._path]

    def _merge(self, path: Path) -> list[OpenRun]:
        """Copy an unlocked file's messages behind ours; after a crash in between they come twice."""
        try:
            with closing(_open(path)) as other:
                entries = [Entry(*row) for row in other.execute(_ALL)]
                runs = [OpenRun(*row) for row in other.execute("SELECT run_id, head, events FROM open_runs")]
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"it cannot be read: {error}") from error
        log.warning("adopted %s: %d messages, %d runs without an end", path.name, len(entries), len(runs))
        with self._transaction() as database:
            database.executemany(_INSERT, entries)
            database.executemany(_REMEMBER, runs)
            self._bytes += sum(len(entry.body) for entry in entries)
        return runs

    def _count(self, table: str) -> int:
        with self._transaction() as database:
            number: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours
        return number

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            try:
                with self._database:
                    yield self._database
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"outbox {self._path}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _try_lock(path: Path) -> IO[bytes] | None:
    """Lock a file's companion; None if a living process has it, or its last owner has just deleted it."""
    companion = path.with_suffix(".lock")
    lock = companion.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = companion.exists() and companion.stat().st_ino == os.fstat(lock.fileno()).st_ino
    except BlockingIOError:
        is_ours = False
    if is_ours:
        return lock
    lock.close()
    return None


def _delete(path: Path) -> None:
    """Delete a file with its companions, while it is locked."""
    for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
        path.with_suffix(suffix).unlink(missing_ok=True)
