"""What a distributor has taken from its boards and the broker has not confirmed: a SQLite file each.

The files of all replicas lie in one folder. Each is locked while its process lives; whoever starts, and
from time to time whoever lives, adopts the unlocked ones.
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
"""So much of another's file is in memory at a time; a single message may be larger."""


class Entry(NamedTuple):
    """A message for the exchange of events."""

    key: str
    message_id: str
    body: bytes

    @property
    def kind(self) -> str:
        """What it tells, such as `events`: the key's first word."""
        return self.key.partition(".")[0]


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


class Change(NamedTuple):
    """A message, and what becomes of its run with it."""

    entry: Entry
    run: OpenRun | None = None
    """The run as it is when this is written; None: the message is of no run, or changes nothing of it."""
    is_end: bool = False
    """Whether it is the run's last message."""


class Outbox:
    """The file of a process, and the adoption of those that others left.

    Args:
        folder: made if it is not there.
        max_bytes: of waiting messages; from there on nothing is taken until the broker has confirmed some.

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
            self._database = _open_file(self._path)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"TASKGEN_OUTBOX_PATH: {folder} cannot be written: {error}") from error
        self._bytes = 0
        self.last_id = 0
        """Of the message that was written last; this process alone writes the file."""

    def write(self, changes: Sequence[Change]) -> list[Stored]:
        """Keep messages and the state of their runs, on disk when this returns.

        There is room while less waits than the limit says, and always for the end of a run: it is small, and
        without it nobody would know that the run is over.

        Returns:
            The messages that were kept, those of the first changes; the others find no room.

        Raises:
            StoreUnavailableError: not even the first one has room, or the disk has none; nothing was written.
        """
        kept = self._fitting(changes)
        if changes and not kept:
            raise StoreUnavailableError(
                f"the outbox holds {self._bytes} bytes, the limit is {self._max_bytes}: no broker takes them"
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
            max_bytes: of their bodies; the first one is taken whatever its size.
            after: only those behind this id.
            but_not: kinds that are left out.
        """
        with self._transaction() as database:
            return _first(database, limit, max_bytes, after, but_not)

    def oldest_of(self, kinds: Collection[str]) -> list[Stored]:
        """The oldest message of some kinds, if there is one."""
        with self._transaction() as database:
            rows = database.execute(_OLDEST_OF, (json.dumps(list(kinds)),)).fetchall()
        return [_stored(row) for row in rows]

    def remove(self, stored: Sequence[Stored]) -> None:
        """Forget messages: the broker has them.

        Nothing waits for the disk: after a power cut a message may be there again, and is published again.
        """
        removed = sum(len(one.entry.body) for one in stored)
        with self._transaction(-removed, is_durable=False) as database:
            database.executemany("DELETE FROM messages WHERE id = ?", [(one.id,) for one in stored])

    @property
    def depth(self) -> int:
        """How many messages wait."""
        with self._transaction() as database:
            return _count(database, "messages")

    def adopt(self) -> list[OpenRun]:
        """Take over what processes that live no longer have left; returns their open runs.

        A file that cannot be read, or for which there is no room now, stays and is said in the log; of one
        that was adopted in part, the rest stays.
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
                    _delete_file(path)
        return runs

    def close(self) -> None:
        """Let go of the file, also where a thread still writes; it is deleted if nothing is left in it."""
        is_empty = False
        with self._guard, closing(self._database), suppress(sqlite3.Error):  # what cannot be read stays
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
        """Latest first: who was killed while it adopted has the older messages of the file it adopted."""
        found = sorted(self._folder.glob("outbox-*.db"), reverse=True)
        return [path for path in found if path != self._path]

    def _merge(self, path: Path) -> list[OpenRun]:
        """Move an unlocked file's messages behind ours, piece by piece, and then copy its runs."""
        count = 0
        try:
            with closing(_open_file(path)) as other:
                while moved := self._move_piece(other):
                    count += moved
                runs = [OpenRun(*row) for row in other.execute("SELECT run_id, head, events FROM open_runs")]
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"it cannot be read: {error}") from error
        log.warning("adopted %s: %d messages, %d runs without an end", path.name, count, len(runs))
        with self._transaction() as database:
            database.executemany(_REMEMBER, runs)
        return runs

    def _move_piece(self, other: sqlite3.Connection) -> int:
        """Move another's oldest messages, and say how many.

        What cannot be deleted there is not copied. The deletion is committed last: who is killed in between
        leaves this piece twice, and loses none.
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
        self.last_id += len(stored)  # also if it is rolled back: numbers may be left out
        return stored

    def _fitting(self, changes: Sequence[Change]) -> Sequence[Change]:
        """The first ones, as far as there is room."""
        size = self._bytes
        for number, change in enumerate(changes):
            if size >= self._max_bytes and not change.is_end:
                return changes[:number]
            size += len(change.entry.body)
        return changes

    @contextmanager
    def _transaction(self, added_bytes: int = 0, *, is_durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing; counts what the messages have grown by once it is on disk."""
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
    """See `Outbox.first`; what is not taken is not read either, but for one message."""
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
    """Open a file, and make it if it is not there; what is committed is on disk."""
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


def _delete_file(path: Path) -> None:
    """Delete a file with its companions, while it is locked."""
    for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
        path.with_suffix(suffix).unlink(missing_ok=True)
