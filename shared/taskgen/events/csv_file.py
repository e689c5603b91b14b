"""A CSV file that one process appends to: locked, repaired when opened, with atomic appends."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from taskgen.errors import StoreError, StoreUnavailableError, UnstorableError

logger = logging.getLogger(__name__)

LINE_END: Final = b"\r\n"
_LATER: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors after which a retry may succeed, even when opening a file."""
_BLOCK_BYTES: Final = 65536


class FileLockedError(StoreError):
    """Another process is writing to the file."""


class CsvFile:
    """An open CSV file with the expected header, locked against other writers."""

    def __init__(
        self, path: Path, columns: Sequence[str], *, committed: Callable[[], int] | None = None
    ) -> None:
        """Open the file, creating it if necessary; cut off an incomplete record at its end.

        Args:
            path: the file.
            columns: the expected header.
            committed: returns how many bytes are known to be valid, if that is recorded elsewhere; it is
                called when nobody else can write any more.

        Raises:
            FileLockedError: another process is writing it.
            StoreError: it is another file, is shorter than `committed`, or cannot be opened.
        """
        self.path = path
        header = lines([columns])
        with translated(path, StoreError):
            is_new = not path.exists()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with translated(path, StoreError):
                self._lock()
                self.length = self._begin(header, committed)
                if is_new:
                    _sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        """Add whole lines, durably.

        Raises:
            StoreUnavailableError: not now; the file is as before.
            StoreError: another program has truncated the file.
        """
        with translated(self.path, StoreUnavailableError):
            self._shorten()  # remove the rest of a failed append
            try:
                self._write(data)
            except BaseException:
                # If even this fails, the next append tries again, and so does opening the file.
                with suppress(OSError):
                    os.ftruncate(self._file, self.length)
                raise
        self.length += len(data)

    def cut(self, length: int) -> None:
        """Undo what was appended since the file had this length.

        Raises:
            StoreError: as `append` does.
        """
        self.length = length
        with translated(self.path, StoreUnavailableError):
            self._shorten()

    def close(self) -> None:
        """Close the file and release its lock; safe to repeat."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _shorten(self) -> None:
        """Cut the file to its length; a file that is too short must not be filled with NULs."""
        size = os.fstat(self._file).st_size
        if size < self.length:
            raise StoreError(
                f"{self.path}: was truncated by another program: {size} of {self.length} stored bytes are "
                "left; stop, and restore the file or move it away"
            )
        if size > self.length:
            os.ftruncate(self._file, self.length)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileLockedError(
                f"{self.path}: another process is writing to it; stop that process or give another path"
            ) from error

    def _begin(self, header: bytes, committed: Callable[[], int] | None) -> int:
        """Check and repair the file; returns its length."""
        expected = committed() if committed else None
        found = os.pread(self._file, len(header), 0)
        if found != header:
            if not header.startswith(found):
                raise StoreError(f"{self.path}: has a different header; give another path")
            self.length = 0  # empty, or its creator was killed
            self.append(header)
        size = os.fstat(self._file).st_size
        good = self._end_of_last_line(size) if expected is None else max(expected, len(header))
        if good > size:
            raise StoreError(f"{self.path}: only {size} of {good} stored bytes are left; restore the file")
        if good < size:
            logger.warning("%s: removed %d incomplete bytes left by a killed writer", self.path, size - good)
            os.ftruncate(self._file, good)
            os.fsync(self._file)
        return good

    def _end_of_last_line(self, size: int) -> int:
        """The position after the last line end, searched backwards block by block."""
        end = size
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            block = os.pread(self._file, end - start, start)
            at = block.rfind(LINE_END)
            if at >= 0:
                return start + at + len(LINE_END)
            end = start + 1 if start else 0  # a line end may lie across two blocks
        return 0

    def _write(self, data: bytes) -> None:
        at, rest = self.length, memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, at)
            at, rest = at + written, rest[written:]
        os.fsync(self._file)


@contextmanager
def translated(path: Path, kind: type[StoreError]) -> Iterator[None]:
    """Translate errors of the operating system into `kind`, unless a retry may succeed."""
    try:
        yield
    except OSError as error:
        kind = StoreUnavailableError if error.errno in _LATER else kind
        raise kind(f"{path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lines(rows: Sequence[Sequence[object]]) -> bytes:
    """Rows in the format of RFC 4180, one line each.

    Raises:
        StoreError: a line break in a value: the last whole record could not be found after a crash.
    """
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    data = text.getvalue().encode()
    if data.count(b"\n") != len(rows) or data.count(b"\r") != len(rows):
        raise UnstorableError("a line break in the id or board of a run: CSV files cannot store it")
    return data
