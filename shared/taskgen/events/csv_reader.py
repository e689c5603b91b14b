"""Reads CSV files run by run in constant memory, although their lines are in the order of arrival."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from taskgen.event import Quarantined
from taskgen.events.accounts import (
    Account,
    Fields,
    Holding,
    Progress,
    accounts,
    accounts_of_runs,
    counted,
    in_order_of_runs,
)
from taskgen.events.base import EventRow
from taskgen.events.csv import COLUMNS, read_quarantined, row_of, run_of, seq_of
from taskgen.events.csv_file import LINE_END, lines
from taskgen.events.csv_ledger import Ledger
from taskgen.events.csv_records import CsvRecords, Line
from taskgen.events.csv_sidecars import check_sidecars, read_tasks
from taskgen.events.sqlite_file import check_place
from taskgen.run import Run

_BLOCKS: Final = 256
"""Number of blocks that all files are divided into, to find the lines of a run."""
_KNOWN_RUNS: Final = 16
"""Number of latest runs whose blocks are remembered."""
_EVENTS_AT_ONCE: Final = 100_000
"""Number of lines whose places are in memory, besides those of a stretch."""
_PLACE_BITS: Final = 64
_PLACE: Final = 2**_PLACE_BITS - 1
_LINES_OF_STRETCH: Final = 10_000
_OF_RUN: Final = slice(2, 6)
"""The values that are the same in all lines of a run."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file, and the valid lengths of it and of its quarantine; None: all of it."""

    path: Path
    length: int | None = None
    quarantine_length: int | None = None


@dataclass(slots=True)
class _Lines:
    """The known facts about the lines of a run."""

    events: Holding = field(default_factory=Holding)
    in_lines: list[list[str]] = field(default_factory=list)
    """The run according to its first line, and to the first line that differs."""
    blocks: int = 0
    """A bit for each block in which a line begins."""
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Its tasks by id, as far as there are rows of them beside the events."""

    def add(self, values: list[str], block: int) -> None:
        self.events.add(row_of(values))
        self.blocks |= 1 << block
        of_run = values[_OF_RUN]
        if not self.in_lines or (of_run != self.in_lines[0] and len(self.in_lines) == 1):
            run_of(values)  # raises now, where the line is known
            self.in_lines.append(of_run)

    def runs(self, run_id: str) -> tuple[Run, ...]:
        return tuple(run_of([run_id, "", *line]) for line in self.in_lines)


class _Stretch(NamedTuple):
    """Consecutive lines of a run in a file."""

    low: int
    """Its smallest key: an event's number, and the place of its line."""
    high: int
    number: int
    """Number of the file."""
    first: int
    """Where the stretch begins."""
    end: int


class CsvReader:
    """Reads a file or the parts of one; see `taskgen.events.readers.StoreReader`.

    Lines that come while it is open are not seen. A place counts through all files. The events of one run are
    put in order 100,000 at a time, from the stretches of lines that can have them: of lines that came nearly
    in order, each is read three times.
    """

    keeps_tasks: Final = False

    def __init__(self, name: str, *parts: Part, ledger: Ledger | None = None) -> None:
        """Open the files.

        Args:
            name: of the store in reports.
            parts: one or more files.
            ledger: has the runs and their ends; closed together with the reader.

        Raises:
            StoreError: one is missing or is another file.
        """
        self.knows_ends = ledger is not None
        self.name = name
        self._ledger = ledger
        self._parts = parts
        for part in parts:
            check_place(part.path, must_exist=True)
        self._files = [CsvRecords(part.path, COLUMNS, part.length) for part in parts]
        *self._starts, length = accumulate((file.length for file in self._files), initial=0)
        self._block_bytes = length // _BLOCKS + 1
        self._blocks: dict[str, int] = {}

    @property
    def paths(self) -> list[Path]:
        """The files of events."""
        return [part.path for part in self._parts]

    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id."""
        if self._ledger is not None:
            return self._ledger.runs()
        return (account.run for account in self.accounts(lambda _: None) if account.run is not None)

    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq, duplicates included."""
        stretches = self._stretches(run_id)
        after: int | None = None
        while keys := self._next_keys(run_id, stretches, after):
            after, is_last = keys[-1], len(keys) < _EVENTS_AT_ONCE
            rows = self._rows(run_id, keys)
            keys.clear()
            yield from rows
            if is_last:
                return

    def lines(self) -> Iterator[tuple[Run, EventRow]]:
        """All events, each with its run according to its line, in the order of the files; with duplicates."""
        for file in self._files:
            yield from file.read(lambda _, values: (run_of(values), row_of(values)))

    def accounts(self, progress: Progress) -> Iterator[Account]:
        """The store's data of each run, ordered by id.

        Raises:
            StoreError: also if a file beside the events is damaged.
        """
        for path in self.paths:
            check_sidecars(path)
        of_lines = self._accounts_of_lines(progress)
        if self._ledger is None:
            return accounts(self.name, of_lines)
        return accounts(self.name, of_lines, accounts_of_runs(self._ledger.runs()))

    def quarantined(self) -> Iterator[Quarantined]:
        """Received bytes that are not events."""
        for part in self._parts:
            yield from read_quarantined(part.path, part.quarantine_length)

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()

    def _accounts_of_lines(self, progress: Progress) -> Fields:
        def scan(of: Callable[[str], _Lines | None]) -> None:
            for number in range(len(self._files)):
                self._collect(number, of, progress)
            for path in self.paths:
                for run_id, task in read_tasks(path):
                    if found := of(run_id):
                        found.tasks[task["id"]] = task

        for run_id, found in in_order_of_runs(scan, _Lines):
            if not found.in_lines:  # it has tasks, but no events yet
                continue
            self._blocks[run_id] = found.blocks
            if len(self._blocks) > _KNOWN_RUNS:
                del self._blocks[next(iter(self._blocks))]
            fields: dict[str, Any] = {
                "events": found.events,
                "in_lines": found.runs(run_id),
                "tasks": found.tasks,
            }
            if self._ledger is None:
                fields["run"] = fields["in_lines"][0]
            yield run_id, fields

    def _collect(self, number: int, of: Callable[[str], _Lines | None], progress: Progress) -> None:
        start = self._starts[number]

        def take(line: Line, values: list[str]) -> None:
            found = of(values[0])
            if found is not None:
                found.add(values, (start + line.place) // self._block_bytes)

        for _ in counted(self._files[number].read(take), progress):
            pass

    def _stretches(self, run_id: str) -> list[_Stretch]:
        """Where the run's lines are, ordered by the smallest number there."""
        found = []
        for number, first, end in self._ranges(self._blocks.get(run_id, (1 << _BLOCKS) - 1)):
            keys = self._keys(run_id, number, first, end)
            while part := list(islice(keys, _LINES_OF_STRETCH)):
                places = [key & _PLACE for key in part]
                found.append(_Stretch(min(part), max(part), number, min(places), max(places) + 1))
        return sorted(found)

    def _next_keys(self, run_id: str, stretches: list[_Stretch], after: int | None) -> list[int]:
        """The smallest keys after another one: numbers of events with the places of their lines."""
        found: list[int] = []
        before: int | None = None
        for low, high, number, first, end in stretches:
            if before is not None and low > before:
                break
            if after is None or high > after:
                found += _between(after, before, self._keys(run_id, number, first, end))
                if len(found) > _EVENTS_AT_ONCE:
                    found.sort()
                    del found[_EVENTS_AT_ONCE:]
                    before = found[-1]
        found.sort()
        return found

    def _keys(self, run_id: str, number: int, first: int, end: int) -> Iterator[int]:
        """The run's lines between two places."""
        written = lines([(run_id, "")]).removesuffix(LINE_END)
        beginnings = (written, b'"%b",' % written.removesuffix(b","))  # as other programs may quote it
        file, start = self._files[number], self._starts[number]
        found = (line for line in file.lines(first - start, end - start) if line.data.startswith(beginnings))
        return file.decoded(found, lambda line, values: seq_of(values) << _PLACE_BITS | start + line.place)

    def _ranges(self, blocks: int) -> Iterator[tuple[int, int, int]]:
        """The files of these blocks: number of the file, first place and end."""
        for block in range(_BLOCKS):
            if blocks >> block & 1:
                first = block * self._block_bytes
                for number, (file, start) in enumerate(zip(self._files, self._starts, strict=True)):
                    low, high = max(first, start), min(first + self._block_bytes, start + file.length)
                    if low < high:
                        yield number, low, high

    def _rows(self, run_id: str, keys: list[int]) -> Iterator[EventRow]:
        def decode(_: Line, values: list[str]) -> EventRow:
            if values[0] != run_id:
                raise ValueError("it was changed while being read")
            return row_of(values)

        places = array("Q", (key & _PLACE for key in keys))
        streams = []
        for file, start in zip(self._files, self._starts, strict=True):
            in_file = array("Q", (place - start for place in places if start <= place < start + file.length))
            streams.append(file.decoded(file.at(in_file), decode))
        return heapq.merge(*streams, key=attrgetter("seq"))


def _between(after: int | None, before: int | None, keys: Iterator[int]) -> Iterator[int]:
    return (key for key in keys if (after is None or key > after) and (before is None or key < before))
