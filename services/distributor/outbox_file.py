"""The file of an outbox: opened, locked while its process lives, and deleted with its companions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO, Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, message_id TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS open_runs (
    run_id TEXT PRIMARY KEY, head TEXT NOT NULL, events INTEGER NOT NULL
);
"""


def open_file(path: Path) -> sqlite3.Connection:
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


def try_lock(path: Path) -> IO[bytes] | None:
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


def delete_file(path: Path) -> None:
    """Delete a file with its companions, while it is locked."""
    for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
        path.with_suffix(suffix).unlink(missing_ok=True)
