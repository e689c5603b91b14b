"""Summaries of constant size of each run in a store, for comparing stores of any size."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from taskgen.errors import StoreError
from taskgen.events.base import EventRow
from taskgen.events.decoding import shown
from taskgen.events.ranges import Spans
from taskgen.run import Run

_T = TypeVar("_T")

_DIGEST_BYTES: Final = 16
_PRIME: Final = 2**127 - 1
_POINT: Final = int.from_bytes(blake2b(b"taskgen", digest_size=15).digest(), "big")
"""An arbitrary number, independent of the data."""
_RUNS_AT_ONCE: Final = 30_000
"""Up to twice as many are in memory, each of less than 1 KB."""
_REPORT_EVERY: Final = 20_000

Progress = Callable[[int], None]
"""Called with the number of further events read."""


class Holding:
    """The events of a run in a store: their number, and fingerprints that do not depend on their order.

    The fingerprint of the contents is the sum of the events' 128-bit digests, so an event that is there twice
    changes it like any other difference. That of the numbers is a polynomial with the numbers as its roots,
    at one point. Both take different events for the same with a chance of less than 1 in 2^80.
    """

    __slots__ = ("_contents", "_first", "_last", "_numbers", "count")

    def __init__(self) -> None:
        self.count = 0
        """Number of events, duplicates included."""
        self._first = 0
        self._last = -1
        self._numbers = 1
        self._contents = 0

    def add(self, row: EventRow) -> None:
        """Add an event, in any order."""
        seq = row.seq
        if not self.count:
            self._first = self._last = seq
        elif seq > self._last:
            self._last = seq
        elif seq < self._first:
            self._first = seq
        self.count += 1
        self._numbers = self._numbers * (_POINT - seq) % _PRIME
        self._contents += int.from_bytes(_digest(row), "big")

    @property
    def has_first(self) -> bool:
        """Whether the first event of the run is present."""
        return bool(self.count) and self._first == 0

    def is_whole(self, expected: int | None) -> bool:
        """Whether the events are numbered from 0 without gaps and duplicates.

        Args:
            expected: how many there have to be; None: unknown.
        """
        if self.count != (self._last + 1 if expected is None else expected):
            return False
        return not self.count or (
            (self._first, self._last) == (0, self.count - 1) and self._numbers == _numbers_to(self.count)
        )

    def equals(self, other: Holding) -> bool:
        """Whether the other one has the same events, equally often."""
        return (self.count, self._contents) == (other.count, other._contents)


def _numbers_to(end: int) -> int:
    """The fingerprint of consecutive numbers from 0.

    Two different polynomials of degree n agree at no more than n of 2^127 points (Schwartz-Zippel).
    """
    product = 1
    for number in range(end):
        product = product * (_POINT - number) % _PRIME
    return product


def _digest(row: EventRow) -> bytes:
    """The fingerprint of an event; different events have different texts, whatever these contain."""
    _, seq, task_id, kind, time_stamp, received_at, attributes = row
    more = "" if attributes is None else f"={attributes}"
    text = f"{seq} {task_id} {time_stamp} {len(kind)} {len(received_at)} {kind}{received_at}{more}"
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


@dataclass(slots=True)
class Account:
    """One run in a store."""

    run_id: str
    run: Run | None = None
    """The run according to the store; None if it has no row of the run."""
    events: Holding = field(default_factory=Holding)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Parameters of the run's tasks by id; empty if the store keeps none."""
    unsolicited: Spans = field(default_factory=Spans)
    """Numbers of events of unknown tasks."""
    in_lines: tuple[Run, ...] = ()
    """The run according to the lines of a CSV file: one, or two that contradict each other."""


def accounts(name: str, *streams: Fields) -> Iterator[Account]:
    """Combine a store's data of each run, ordered by id.

    Args:
        name: of the store.
        streams: run ids in order, each with fields of its `Account`.

    Raises:
        StoreError: a stream is not in order.
    """
    last = ""
    for run_id, of_run in groupby(heapq.merge(*streams, key=itemgetter(0)), key=itemgetter(0)):
        if run_id < last:
            raise StoreError(f"{name}: damaged: its rows are out of order at run {shown(run_id)}")
        last = run_id
        account = Account(run_id)
        for _, fields in of_run:
            for field_name, value in fields.items():
                setattr(account, field_name, value)
        yield account


Fields = Iterator[tuple[str, dict[str, Any]]]
"""Run ids in order, each once, with fields of its `Account`."""


def accounts_of_runs(runs: Iterator[Run]) -> Fields:
    """From a table of runs."""
    return ((run.run_id, {"run": run}) for run in runs)


def accounts_of_tasks(tasks: Iterator[tuple[str, dict[str, Any]]]) -> Fields:
    """From a table of tasks, ordered by run."""
    for run_id, of_run in groupby(tasks, key=itemgetter(0)):
        yield run_id, {"tasks": {task["id"]: task for _, task in of_run}}


def accounts_without_task(events: Iterator[tuple[str, int]]) -> Fields:
    """From the keys of events without a task, in order."""
    for run_id, keys in groupby(events, key=itemgetter(0)):
        spans = Spans()
        for _, seq in keys:
            spans.add(seq, seq)
        yield run_id, {"unsolicited": spans}


def holding_of(rows: Iterable[EventRow]) -> Holding:
    """All events of a run."""
    holding = Holding()
    for row in rows:
        holding.add(row)
    return holding


def counted(rows: Iterable[_T], progress: Progress) -> Iterator[_T]:
    """Report progress from time to time."""
    number = 0
    for number, row in enumerate(rows, 1):
        yield row
        if not number % _REPORT_EVERY:
            progress(_REPORT_EVERY)
    progress(number % _REPORT_EVERY)


def in_order_of_runs(
    scan: Callable[[Callable[[str], _T | None]], None], make: Callable[[], _T]
) -> Iterator[tuple[str, _T]]:
    """Collect something for each run from rows in any order, in constant memory; ordered by run id.

    Args:
        scan: goes through all rows, once for every 30,000 runs; for each it asks for its run's collection,
            which is None if the run belongs to another scan.
        make: an empty collection.
    """
    window: _Window[_T] | None = _Window(None, make)
    while window is not None:
        scan(window.of)
        yield from window.collected()
        window = window.next()


class _Window(Generic[_T]):
    """A limited number of the smallest run ids after another one, each with its collection."""

    def __init__(self, after: str | None, make: Callable[[], _T]) -> None:
        self._after = after
        self._before: str | None = None
        """Run ids from here on belong to the next window."""
        self._make = make
        self._found: dict[str, _T] = {}

    def of(self, run_id: str) -> _T | None:
        found = self._found.get(run_id)
        if found is None and self._takes(run_id):
            found = self._found[run_id] = self._make()
            if len(self._found) >= 2 * _RUNS_AT_ONCE:
                self._shrink()
                return self._found.get(run_id)
        return found

    def collected(self) -> Iterator[tuple[str, _T]]:
        for run_id in sorted(self._found):
            yield run_id, self._found[run_id]

    def next(self) -> _Window[_T] | None:
        """The next window, if any runs are left."""
        return None if self._before is None else _Window(max(self._found), self._make)

    def _takes(self, run_id: str) -> bool:
        return (self._after is None or run_id > self._after) and (
            self._before is None or run_id < self._before
        )

    def _shrink(self) -> None:
        ids = sorted(self._found)
        self._before = ids[_RUNS_AT_ONCE]
        for run_id in ids[_RUNS_AT_ONCE:]:
            del self._found[run_id]
