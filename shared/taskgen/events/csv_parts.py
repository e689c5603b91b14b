"""Events in several CSV files: each replica appends to its own part; a ledger records what is stored."""

from __future__ import annotations

import re
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from taskgen.errors import StoreError
from taskgen.events.base import Batch, StoringHandler
from taskgen.events.csv import (
    COLUMNS,
    QUARANTINE_COLUMNS,
    new_lines,
    quarantine_lines,
    quarantine_path,
)
from taskgen.events.csv_file import CsvFile, FileLockedError, lines, translated
from taskgen.events.csv_ledger import NAME, Entry, Ledger
from taskgen.events.csv_reader import CsvReader, Part
from taskgen.events.csv_sidecars import CsvSidecars
from taskgen.events.tables import COLUMNS_OF
from taskgen.redaction import without_password

_QUARANTINE: Final = ".quarantine.csv"
_SIDECARS: Final = tuple(f".{table}.csv" for table in COLUMNS_OF)


class CsvPartsHandler(StoringHandler):
    """Stores events in a folder that any number of handlers and processes share.

    A batch is one transaction of the ledger: skip stored data, append the rest to the
    part, note its new length. A part without an owner is continued by whoever starts next, so one that
    never comes back leaves nothing behind.
    """

    def __init__(
        self, directory: str | Path, instance: str = "part", *, busy_timeout_s: float = 30.0
    ) -> None:
        """Open the folder, creating it if necessary; continue a free part or create one.

        Args:
            directory: the folder; the one above has to exist.
            instance: part of the name of a new part, for people.
            busy_timeout_s: how long to wait for another writer before `StoreUnavailableError`.

        Raises:
            StoreError: the folder cannot be used, or its ledger and its parts do not belong together.
        """
        super().__init__()
        self._directory = Path(directory)
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", instance):
            raise StoreError(f"instance {instance!r}: use letters, digits, '_', '-' and '.' only")
        try:
            self._directory.mkdir(exist_ok=True)
        except OSError as error:
            shown = without_password(str(directory))  # a DSN may have been given for it
            raise StoreError(f"{shown}: cannot be created: {error.strerror}") from error
        with ExitStack() as opened:
            self._ledger = Ledger(self._directory, busy_timeout_s)
            opened.callback(self._ledger.close)
            self._part = self._free_part() or self._new_part(instance)
            opened.callback(self._part.close)
            self._sidecars = CsvSidecars(self._part.path)
            opened.pop_all()
        self._quarantine: CsvFile | None = None

    def check(self) -> None:
        """Check that the ledger accepts writes."""
        self._ledger.check_writable()

    def _write(self, batch: Batch) -> None:
        self._sidecars.write(batch)
        with ExitStack() as undo:
            with self._ledger.entry() as entry:
                entry.know_runs(batch)
                _append(entry, self._part, self._new_lines(entry, batch), undo)
                if new := entry.new_quarantined(batch.quarantined):
                    _append(entry, self._quarantine_file(), quarantine_lines(new), undo)
            undo.pop_all()

    def _release(self) -> None:
        self._sidecars.close()
        self._part.close()
        if self._quarantine is not None:
            self._quarantine.close()
        self._ledger.close()

    def _new_lines(self, entry: Entry, batch: Batch) -> bytes:
        stored = {
            run_id: entry.stored(run_id, first, end) for run_id, (first, end) in _touched(batch).items()
        }
        data = new_lines(batch, stored)
        if data:
            for run_id, ranges in stored.items():
                entry.set_stored(run_id, ranges)
        return data

    def _free_part(self) -> CsvFile | None:
        for path in sorted(self._directory.glob("events-*.csv")):
            if not path.name.endswith((_QUARANTINE, *_SIDECARS)):
                with suppress(FileLockedError):
                    return self._open(path, COLUMNS)
        return None

    def _new_part(self, instance: str) -> CsvFile:
        while True:  # another starting process may lock it first, and then owns this part
            with suppress(FileLockedError):
                name = f"events-{instance}-{uuid.uuid4().hex[:8]}.csv"
                return self._open(self._directory / name, COLUMNS)

    def _quarantine_file(self) -> CsvFile:
        if self._quarantine is None:
            self._quarantine = self._open(quarantine_path(self._part.path), QUARANTINE_COLUMNS)
        return self._quarantine

    def _open(self, path: Path, columns: tuple[str, ...]) -> CsvFile:
        return CsvFile(path, columns, committed=lambda: self._committed(path, columns))

    def _committed(self, path: Path, columns: tuple[str, ...]) -> int:
        length = self._ledger.lengths().get(path.name)
        if length is None and path.stat().st_size > len(lines([columns])):
            raise StoreError(
                f"{path}: the ledger beside it does not list this file; restore the ledger that belongs "
                "to it, or move the file away"
            )
        return length or 0


def _append(entry: Entry, file: CsvFile, data: bytes, undo: ExitStack) -> None:
    """Append to a file and record its length; `undo` reverts it."""
    undo.callback(_cut, file, file.length)
    if data:
        file.append(data)
    entry.set_length(file.path, file.length)


def _cut(file: CsvFile, length: int) -> None:
    with suppress(StoreError):  # then the next append cuts
        file.cut(length)


def _touched(batch: Batch) -> dict[str, tuple[int, int]]:
    """For each run of a batch, the range of its events: first and end."""
    touched: dict[str, tuple[int, int]] = {}
    for run, events in batch.events:
        first, end = touched.get(run.run_id, (events.first_seq, 0))
        touched[run.run_id] = (min(first, events.first_seq), max(end, events.next_seq))
    return touched


def open_parts(directory: str | Path) -> CsvReader:
    """Read such a folder, as far as the ledger records it as stored.

    Raises:
        StoreError: there is no ledger, or a part is missing.
    """
    folder = Path(directory)
    with translated(folder, StoreError):
        has_ledger = (folder / NAME).exists()
    if not has_ledger:
        raise StoreError(
            f"{folder}: is a folder without the ledger.db of a csv sink; "
            "give the folder that a sink writes, or the path of a SQLite or CSV file"
        )
    with ExitStack() as opened:
        ledger = Ledger(folder, 30.0, is_read_only=True)
        opened.callback(ledger.close)
        lengths = ledger.lengths()
        parts = [
            Part(folder / name, length, lengths.get(quarantine_path(folder / name).name))
            for name, length in sorted(lengths.items())
            if not name.endswith(_QUARANTINE)
        ]
        reader = CsvReader(f"csv:{directory}", *parts, ledger=ledger)
        opened.pop_all()
        return reader
