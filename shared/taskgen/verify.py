"""Whether stores hold every event exactly once, and agree: the promise of the project, looked up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from taskgen.events.reading import StoreReader, open_store
from taskgen.events.storing import EventRow
from taskgen.run import Run

_SHOWN_RANGES = 5
_FIXED = ("taskset_id", "board", "attempt", "variant")
_END = ("started_at", "ended_at", "outcome", "reason", "events")


class Problem(StrEnum):
    """What can be wrong with a run in a store."""

    NO_RUN = "run is absent"
    NO_END = "end is absent"
    OTHER_RUN = "run is told otherwise"
    MISSING = "events missing"
    DOUBLE = "events more than once"
    SURPLUS = "events beyond the number that the run has"
    OTHER_EVENTS = "events are other than in the other stores"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `str()` is one line."""

    run_id: str
    store: str
    """Names of the stores concerned."""
    problem: Problem
    ranges: tuple[tuple[int, int], ...] = ()
    """Numbers of the events concerned, as (first, last)."""
    detail: str = ""

    @property
    def count(self) -> int:
        """How many events are concerned."""
        return sum(last - first + 1 for first, last in self.ranges)

    def __str__(self) -> str:
        line = f"run {self.run_id}: {self.store}: "
        if self.ranges:
            shown = [
                str(first) if first == last else f"{first}-{last}"
                for first, last in self.ranges[:_SHOWN_RANGES]
            ]
            more = ", ..." if len(self.ranges) > _SHOWN_RANGES else ""
            return f"{line}{self.count} {self.problem}: {', '.join(shown)}{more}"
        return f"{line}{self.problem}{self.detail and f': {self.detail}'}"


@dataclass(slots=True)
class Report:
    """What `verify` found."""

    stores: list[str] = field(default_factory=list)
    """Names, in the order in which they were given."""
    ended: int = 0
    """Runs that were looked at."""
    not_ended: int = 0
    """Runs that were passed over, as none of the stores knows their end."""
    events: dict[str, int] = field(default_factory=dict)
    """For each store the events that were looked at."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be checked."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(stores: Sequence[str]) -> Report:
    """Compare stores with what the runs' closing messages say, and with one another.

    Args:
        stores: `sqlite:PATH`, `csv:PATH` or `postgresql://...`; see `open_store`. Every store is read as it
            is at one moment, so one that is still being filled is behind the others.

    Raises:
        StoreError: a store cannot be opened or read.
        CredentialsError: a database refuses its user.
    """
    with ExitStack() as opened:
        return compare([opened.enter_context(closing(open_store(spec))) for spec in stores])


def compare(readers: Sequence[StoreReader]) -> Report:
    """Do `verify` with open stores; row by row, so in constant memory however large they are."""
    report = Report([reader.name for reader in readers], events={reader.name: 0 for reader in readers})
    report.notes += [
        f"{reader.name}: does not say how many events a run has"
        for reader in readers
        if not reader.knows_ends
    ]
    streams = [_numbered(number, reader) for number, reader in enumerate(readers)]
    merged = heapq.merge(*streams, key=lambda entry: entry[1].run_id)
    for _, entries in groupby(merged, key=lambda entry: entry[1].run_id):
        _check_run(report, readers, dict(entries))
    return report


def _numbered(number: int, reader: StoreReader) -> Iterator[tuple[int, Run]]:
    return ((number, run) for run in reader.runs())


def _rows(number: int, reader: StoreReader, run_id: str) -> Iterator[tuple[int, EventRow]]:
    return ((number, row) for row in reader.events(run_id))


def _check_run(report: Report, readers: Sequence[StoreReader], runs: Mapping[int, Run]) -> None:
    """Look at one run in all stores; `runs` has it for those that know it."""
    ended = next((run for run in runs.values() if run.outcome is not None), None)
    if ended is None and any(reader.knows_ends for reader in readers):
        report.not_ended += 1
        return
    report.ended += ended is not None
    expected = None if ended is None else ended.events
    run = ended or next(iter(runs.values()))
    for number, reader in enumerate(readers):
        if number in runs:
            report.findings += _differences(run, runs[number], reader)
        elif expected != 0 or reader.knows_ends:
            report.findings.append(Finding(run.run_id, reader.name, Problem.NO_RUN))
    present = [readers[number] for number in sorted(runs)]
    report.findings += _check_events(report, run.run_id, present, expected)


def _differences(told: Run, run: Run, reader: StoreReader) -> Iterator[Finding]:
    fields: tuple[str, ...] = _FIXED
    if reader.knows_ends and run.outcome is None:
        yield Finding(run.run_id, reader.name, Problem.NO_END)
    elif reader.knows_ends:
        fields += _END
    others = [
        f"{name} {getattr(run, name)!s} instead of {getattr(told, name)!s}"
        for name in fields
        if getattr(run, name) != getattr(told, name)
    ]
    if others:
        yield Finding(run.run_id, reader.name, Problem.OTHER_RUN, detail=", ".join(others))


class _Spans:
    """Growing numbers as (first, last), as few as can be."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def add(self, first: int, last: int) -> None:
        if self.spans and self.spans[-1][1] >= first - 1:
            self.spans[-1] = (self.spans[-1][0], max(last, self.spans[-1][1]))
        else:
            self.spans.append((first, last))


class _Tally:
    """What one store has of one run, event by event."""

    def __init__(self, expected: int | None) -> None:
        self._expected = expected
        self._next = 0
        self._found = {problem: _Spans() for problem in (Problem.MISSING, Problem.DOUBLE, Problem.SURPLUS)}

    def take(self, seq: int, times: int) -> None:
        """The event is there, so many times; events come in their order."""
        is_surplus = self._expected is not None and seq >= self._expected
        if is_surplus:
            self._found[Problem.SURPLUS].add(seq, seq)
        else:
            self._pass_to(seq)
            self._next = seq + 1
        if times > 1:
            self._found[Problem.DOUBLE].add(seq, seq)

    def findings(self, run_id: str, store: str) -> Iterator[Finding]:
        """What is wrong, after the last event."""
        if self._expected is not None:
            self._pass_to(self._expected)
        for problem, spans in self._found.items():
            if spans.spans:
                yield Finding(run_id, store, problem, tuple(spans.spans))

    def _pass_to(self, seq: int) -> None:
        if seq > self._next:
            self._found[Problem.MISSING].add(self._next, seq - 1)


def _check_events(
    report: Report, run_id: str, readers: Sequence[StoreReader], expected: int | None
) -> Iterator[Finding]:
    """Go through the run's events in all stores side by side."""
    tallies = [_Tally(expected) for _ in readers]
    others = _Spans()
    streams = [_rows(number, reader, run_id) for number, reader in enumerate(readers)]
    for seq, entries in groupby(heapq.merge(*streams, key=lambda e: e[1].seq), key=lambda e: e[1].seq):
        found = list(entries)
        for number, (reader, tally) in enumerate(zip(readers, tallies, strict=True)):
            if times := sum(at == number for at, _ in found):
                tally.take(seq, times)
                report.events[reader.name] += times
        if len({row for _, row in found}) > 1:
            others.add(seq, seq)
    for reader, tally in zip(readers, tallies, strict=True):
        yield from tally.findings(run_id, reader.name)
    if others.spans:
        names = " and ".join(reader.name for reader in readers)
        yield Finding(run_id, names, Problem.OTHER_EVENTS, tuple(others.spans))
