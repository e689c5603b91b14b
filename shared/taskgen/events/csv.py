"""Events in a CSV file: RFC 4180, a header, one line per event; `<name>.quarantine.csv` beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any, Final

from taskgen.errors import StoreError
from taskgen.event import Quarantined
from taskgen.event_columns import EventColumns, one_line
from taskgen.events.base import Batch, EventRow, StoringHandler, event_rows
from taskgen.events.csv_file import CsvFile, lines
from taskgen.events.csv_records import CsvRecords, Line
from taskgen.events.csv_sidecars import CsvSidecars
from taskgen.events.decoding import number
from taskgen.events.ranges import Ranges
from taskgen.events.sqlite_file import check_place
from taskgen.events.tables import quarantine_digest
from taskgen.run import Run

COLUMNS: Final = (
    "run_id",
    "seq",
    "taskset_id",
    "board",
    "attempt",
    "variant",
    "task_id",
    "type",
    "time_stamp",
    "received_at",
    "attributes",
)
"""`attributes` is JSON of what else the board sent with the event, empty if nothing."""

QUARANTINE_COLUMNS: Final = ("received_at", "board", "run_id", "reason", "data")
"""`data` is base64; `run_id` is empty where there was no run."""


class CsvHandler(StoringHandler):
    """Stores events in a CSV file that no other process writes; continues an existing one.

    How a run began and ended is in files beside it (`taskgen.events.csv_sidecars`). The events and runs in
    the files are tracked in memory, about 500 bytes for each run.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file, creating it if necessary; repair the end after a killed writer.

        Raises:
            StoreError: the path names another file, it cannot be opened, or is being written.
        """
        super().__init__()
        self._path = Path(path)
        check_place(self._path)
        self._file = CsvFile(self._path, COLUMNS)
        self._quarantine: CsvFile | None = None
        self._known: set[str] = set()
        try:
            self._sidecars = CsvSidecars(self._path)
            self._stored = _stored(self._path)
        except BaseException:
            self._file.close()
            raise

    def _write(self, batch: Batch) -> None:
        self._sidecars.write(batch)
        touched = {run.run_id: Ranges(self._stored.get(run.run_id, ())) for run, _ in batch.events}
        data = new_lines(batch, touched)
        before = self._file.length
        if data:
            self._file.append(data)
        try:
            self._write_quarantine(batch.quarantined)
        except BaseException:
            with suppress(StoreError):  # then the next append cuts
                self._file.cut(before)
            raise
        self._stored.update(touched)

    def _write_quarantine(self, quarantined: list[Quarantined]) -> None:
        if not quarantined:
            return
        if self._quarantine is None:
            self._quarantine = CsvFile(quarantine_path(self._path), QUARANTINE_COLUMNS)
            self._known = {quarantine_digest(known) for known in read_quarantined(self._path)}
        new = {quarantine_digest(q): q for q in quarantined if quarantine_digest(q) not in self._known}
        if new:
            self._quarantine.append(quarantine_lines(new.values()))
            self._known.update(new)

    def _release(self) -> None:
        self._file.close()
        self._sidecars.close()
        if self._quarantine is not None:
            self._quarantine.close()


def quarantine_path(path: Path) -> Path:
    """Path of the quarantine of a CSV file: `events.quarantine.csv` for `events.csv`."""
    return path.with_name(f"{path.name.removesuffix('.csv')}.quarantine.csv")


def _stored(path: Path) -> dict[str, Ranges]:
    stored: dict[str, Ranges] = {}
    for run_id, seq in CsvRecords(path, COLUMNS).read(_key_of):
        stored.setdefault(run_id, Ranges()).add(seq)
    return stored


def _key_of(_: Line, values: list[str]) -> tuple[str, int]:
    return values[0], seq_of(values)


def new_lines(batch: Batch, stored: Mapping[str, Ranges]) -> bytes:
    """The lines of the events that are not stored yet; adds them to `stored`."""
    parts: list[bytes] = []  # one for each message: rows take several times as much memory as their lines
    for run, events in batch.events:
        rows, ranges = list(_values(run, events)), stored[run.run_id]
        if not ranges.add_all(events.first_seq, events.next_seq):
            rows = [row for row in rows if ranges.add(row[1])]
        parts.append(lines(rows))
    return b"".join(parts)


def _values(run: Run, events: EventColumns) -> Iterator[tuple[Any, ...]]:
    """The values of the events' lines."""
    run_ids, seqs, *columns = zip(*event_rows(run, events), strict=True)
    about = map(repeat, (run.taskset_id, run.board, run.attempt, run.variant))
    return zip(run_ids, seqs, *about, *columns, strict=False)


def quarantine_lines(quarantined: Iterable[Quarantined]) -> bytes:
    """Quarantined bytes as lines of the quarantine file."""
    return lines(
        [
            (q.received_at, q.board, q.run_id, one_line(q.reason), base64.b64encode(q.data).decode())
            for q in quarantined
        ]
    )


def run_of(values: list[str]) -> Run:
    """The run according to the values of an event's line."""
    run_id, _, taskset_id, board, attempt, variant, *_rest = values
    return Run(
        board, run_id, taskset_id, number("attempt", attempt), number("variant", variant), started_at=""
    )


def seq_of(values: list[str]) -> int:
    """The number of the event of a line's values."""
    return number("seq", values[1])


def row_of(values: list[str]) -> EventRow:
    """The event of its line's values."""
    run_id, *_run, task_id, kind, time_stamp, received_at, attributes = values
    return EventRow(
        run_id,
        seq_of(values),
        number("task_id", task_id),
        kind,
        number("time_stamp", time_stamp),
        received_at,
        attributes or None,
    )


def read_rows(path: Path, length: int | None = None) -> Iterator[tuple[Run, EventRow]]:
    """All events of a file, in its order, each with its run according to the file.

    Raises:
        StoreError: it is another file, or has a broken line.
    """
    return CsvRecords(path, COLUMNS, length).read(lambda _, values: (run_of(values), row_of(values)))


def read_runs(path: str | Path) -> list[Run]:
    """The runs with events in a file, ordered by id; without their outcomes."""
    runs = {run.run_id: run for run, _ in read_rows(Path(path))}
    return [runs[run_id] for run_id in sorted(runs)]


def read_events(path: str | Path, run_id: str) -> Iterator[EventRow]:
    """A run's events in the file's order, one by one."""
    return (row for _, row in read_rows(Path(path)) if row.run_id == run_id)


def read_quarantined(path: str | Path, length: int | None = None) -> Iterator[Quarantined]:
    """The quarantine beside an event file; empty if there is none."""
    beside = quarantine_path(Path(path))
    if beside.exists():
        yield from CsvRecords(beside, QUARANTINE_COLUMNS, length).read(_quarantined_of)


def _quarantined_of(_: Line, values: list[str]) -> Quarantined:
    received_at, board, run_id, reason, data = values
    return Quarantined(reason, base64.b64decode(data), board, received_at, run_id or None)
