"""Messages that the broker has not confirmed yet: each distributor keeps them in a SQLite file of its own.

The files of all replicas are in one folder. A file is locked while its process is alive; other distributors
adopt unlocked files, at their start and regularly afterwards.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

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
_INSERT: Final = "INSERT INTO messages (id, key, message_id, body) VALUES (?, ?, ?, ?)"
_REMEMBER: Final = "INSERT OR REPLACE INTO open_runs (run_id, head, events) VALUES (?, ?, ?)"
_FORGET: Final = "DELETE FROM open_runs WHERE run_id = ?"
_FIRST: Final = """
SELECT id, key, message_id, body FROM messages
WHERE id > ? AND substr(key, 1, instr(key || '.', '.') - 1) NOT IN (SELECT value FROM json_each(?))
ORDER BY id LIMIT ?
"""
_OLDEST_OF: Final = """
SELECT id, key, message_id, body FROM messages
WHERE substr(key, 1, instr(key || '.', '.') - 1) IN (SELECT value FROM json_each(?))
ORDER BY id LIMIT 1
"""

_PIECE: Final = 10_000
_PIECE_BYTES: Final = 8 * 1024 * 1024
"""How much of an adopted file is in memory at a time; a single message may be larger."""


class Entry(NamedTuple):
    """A message for the exchange of events."""

    key: str
    message_id: str
    body: bytes

    @property
    def kind(self) -> str:
        """The first word of the key, such as `events`."""
        return self.key.partition(".")[0]


class Stored(NamedTuple):
    """An entry in the outbox."""

    id: int
    entry: Entry


class OpenRun(NamedTuple):
    """A run whose end was not written."""

    run_id: str
    head: str
    """JSON of its `RunHead`."""
    events: int
    """How many of its events were written."""


class Change(NamedTuple):
    """A message, and the state of its run after it."""

    entry: Entry
    run: OpenRun | None = None
    """The run once this is written; None if the message does not belong to a run or does not change it."""
    is_end: bool = False
    """Whether it is the run's last message."""


class Outbox:
    """The outbox of this process; adopts those of processes that have ended.

    Args:
        folder: created if necessary.
        max_bytes: limit of the waiting messages; beyond it nothing is accepted until some are confirmed.

    Raises:
        SettingsError: the folder is not writable.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._guard = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._path, self._lock = self._own_file()
            self._database = _open_file(self._path)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"TASKGEN_OUTBOX_PATH: {folder} cannot be written: {error}") from error
        self._bytes = 0
        self.last_id = 0
        """Of the message that was written last: only this process writes the file."""

    def write(self, changes: Sequence[Change]) -> list[Stored]:
        """Store messages and the state of their runs durably.

        The end of a run is accepted even beyond the limit: it is small, and without it nobody would know that
        the run is over.

        Returns:
            The messages stored, those of the first changes; the others did not fit.

        Raises:
            StoreUnavailableError: not even the first one fits, or the disk is full; nothing was written.
        """
        kept = self._fitting(changes)
        if changes and not kept:
            raise StoreUnavailableError(
                f"the outbox is full: it holds {self._bytes} bytes of unconfirmed messages; "
                f"the limit is {self._max_bytes}"
            )
        runs = {one.run.run_id: (one.run, one.is_end) for one in kept if one.run is not None}
        with self._transaction(sum(len(change.entry.body) for change in kept)) as database:
            stored = self._insert(database, [change.entry for change in kept])
            database.executemany(_REMEMBER, [run for run, is_end in runs.values() if not is_end])
            database.executemany(_FORGET, [(run.run_id,) for run, is_end in runs.values() if is_end])
        return stored

    def first(
        self, limit: int, max_bytes: int = _PIECE_BYTES, after: int = 0, but_not: Collection[str] = ()
    ) -> list[Stored]:
        """The oldest messages.

        Args:
            limit: of their number.
            max_bytes: of their bodies; the first one is included whatever its size.
            after: only messages with larger ids.
            but_not: kinds to leave out.
        """
        with self._transaction() as database:
            return _first(database, limit, max_bytes, after, but_not)

    def oldest_of(self, kinds: Collection[str]) -> list[Stored]:
        """The oldest message of these kinds, if there is one."""
        with self._transaction() as database:
            rows = database.execute(_OLDEST_OF, (json.dumps(list(kinds)),)).fetchall()
        return [_stored(row) for row in rows]

    def remove(self, stored: Sequence[Stored]) -> None:
        """Delete messages that the broker has confirmed.

        This is not durable: after a power failure some are still there, and are published again.
        """
        removed = sum(len(one.entry.body) for one in stored)
        with self._transaction(-removed, is_durable=False) as database:
            database.executemany("DELETE FROM messages WHERE id = ?", [(one.id,) for one in stored])

    @property
    def depth(self) -> int:
        """How many messages wait for the broker."""
        with self._transaction() as database:
            return _count(database, "messages")

    def adopt(self) -> list[OpenRun]:
        """Take over the outboxes of processes that have ended; returns their open runs.

        A file that cannot be read or does not fit stays, entirely or in part, and is logged.
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
                    log.error("cannot adopt %s: %s", path.name, error)  # noqa: TRY400 - one line says it
                else:
                    _delete_file(path)
        return runs

    def close(self) -> None:
        """Close the file, even while a thread still writes; delete it if it is empty."""
        is_empty = False
        with self._guard, closing(self._database), suppress(sqlite3.Error):  # an unreadable file stays
            is_empty = not any(_count(self._database, table) for table in ("messages", "open_runs"))
        if is_empty:
            _delete_file(self._path)
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
        """Latest first: a process killed during an adoption has the older messages of the adopted file."""
        found = sorted(self._folder.glob("outbox-*.db"), reverse=True)
        return [path for path in found if path != self._path]

    def _merge(self, path: Path) -> list[OpenRun]:
        """Append the messages of an unlocked file to ours, piece by piece, and then copy its runs."""
        count = 0
        try:
            with closing(_open_file(path)) as other:
                while moved := self._move_piece(other):
                    count += moved
                runs = [OpenRun(*row) for row in other.execute("SELECT run_id, head, events FROM open_runs")]
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"the file cannot be read: {error}") from error
        log.warning("adopted %s with %d messages and %d open runs", path.name, count, len(runs))
        with self._transaction() as database:
            database.executemany(_REMEMBER, runs)
        return runs

    def _move_piece(self, other: sqlite3.Connection) -> int:
        """Move the oldest messages of another file; returns how many.

        The deletion is committed last: a process killed before leaves this piece twice and loses nothing.
        """
        with other:
            piece = _first(other, _PIECE, _PIECE_BYTES)
            if piece:
                other.execute("DELETE FROM messages WHERE id <= ?", (piece[-1].id,))
                self._append(piece)
        return len(piece)

    def _append(self, piece: Sequence[Stored]) -> None:
        with self._transaction(sum(len(one.entry.body) for one in piece)) as database:
            self._insert(database, [one.entry for one in piece])

    def _insert(self, database: sqlite3.Connection, entries: Sequence[Entry]) -> list[Stored]:
        stored = [Stored(number, entry) for number, entry in enumerate(entries, self.last_id + 1)]
        database.executemany(_INSERT, [(one.id, *one.entry) for one in stored])
        self.last_id += len(stored)  # even if it is rolled back: ids may have gaps
        return stored

    def _fitting(self, changes: Sequence[Change]) -> Sequence[Change]:
        """The first changes, as many as fit."""
        size = self._bytes
        for number, change in enumerate(changes):
            if size >= self._max_bytes and not change.is_end:
                return changes[:number]
            size += len(change.entry.body)
        return changes

    @contextmanager
    def _transaction(self, added_bytes: int = 0, *, is_durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run a transaction; on success, count the bytes it added."""
        with self._guard:
            try:
                self._database.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
                with self._database:
                    yield self._database
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"outbox {self._path}: {error}") from error
            self._bytes += added_bytes


def _first(
    database: sqlite3.Connection, limit: int, max_bytes: int, after: int = 0, but_not: Collection[str] = ()
) -> list[Stored]:
    """The oldest messages, as `Outbox.first` returns them; reads at most one message too many."""
    found: list[Stored] = []
    size = 0
    with closing(database.execute(_FIRST, (after, json.dumps(list(but_not)), limit))) as rows:
        for row in rows:
            one = _stored(row)
            size += len(one.entry.body)
            if found and size > max_bytes:
                break
            found.append(one)
    return found


def _stored(row: Sequence[Any]) -> Stored:
    return Stored(row[0], Entry(*row[1:]))


def _count(database: sqlite3.Connection, table: str) -> int:
    number: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours
    return number


def _open_file(path: Path) -> sqlite3.Connection:
    """Open a file, creating it if necessary; commits are durable."""
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
    """Lock a file through its companion; None if a process holds the lock or has just deleted the file."""
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


def _delete_file(path: Path) -> None:
    """Delete a locked file with its companions."""
    for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
        path.with_suffix(suffix).unlink(missing_ok=True)
