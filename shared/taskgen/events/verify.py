"""Checks that stores have every event exactly once and agree with each other."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import groupby
from typing import Any, Final

from taskgen.events.accounts import Account
from taskgen.events.base import EventRow
from taskgen.events.decoding import shown
from taskgen.events.findings import Finding, Problem, Report
from taskgen.events.ranges import Spans
from taskgen.events.readers import StoreReader
from taskgen.events.stores import open_store
from taskgen.run import Run

__all__ = ["Finding", "Problem", "Report", "compare", "verify"]

_FIXED: Final = ("taskset_id", "board", "attempt", "variant")
_SHOWN_TASKS: Final = 5
_ENOUGH_TO_DIFFER: Final = 2
_END: Final = ("started_at", "ended_at", "outcome", "reason", "events")

Say = Callable[[str], None]
"""Called with a description of the progress."""


def verify(stores: Sequence[str], say: Say = lambda _: None) -> Report:
    """Compare stores with the closing messages of the runs and with each other.

    Args:
        stores: `sqlite:PATH`, `csv:PATH` or `postgresql://...`; see `open_store`. Every store is read as it
            is at one moment, so one that is still being filled is behind the others.
        say: is called with a description of the progress.

    Raises:
        StoreError: a store cannot be opened or read.
        CredentialsError: a database refuses its user.
    """
    with ExitStack() as opened:
        return compare([opened.enter_context(closing(open_store(spec))) for spec in stores], say)


def compare(readers: Sequence[StoreReader], say: Say = lambda _: None) -> Report:
    """Like `verify`, for open stores; uses constant memory.

    Every store is read once. Only the events of runs that are not the same in all of them are then read
    again, side by side, to say which ones.
    """
    report = Report([reader.name for reader in readers], events={reader.name: 0 for reader in readers})
    report.notes += [
        f"{reader.name}: does not record the number of events of a run"
        for reader in readers
        if not reader.knows_ends
    ]
    streams = [_numbered(number, reader, say) for number, reader in enumerate(readers)]
    merged = heapq.merge(*streams, key=lambda entry: entry[1].run_id)
    for _, entries in groupby(merged, key=lambda entry: entry[1].run_id):
        _check_run(report, readers, dict(entries), say)
    return report


def _numbered(number: int, reader: StoreReader, say: Say) -> Iterator[tuple[int, Account]]:
    read = 0

    def progress(more: int) -> None:
        nonlocal read
        read += more
        say(f"{read:,} events read in {reader.name}")

    return ((number, account) for account in reader.accounts(progress))


def _check_run(
    report: Report, readers: Sequence[StoreReader], accounts: Mapping[int, Account], say: Say
) -> None:
    """Check a run in all stores; `accounts` are of the stores that have anything of it."""
    here = [(readers[number], account) for number, account in accounts.items()]
    ended = next((run for _, account in here if (run := account.run) and run.outcome is not None), None)
    if ended is None and any(account.run and reader.knows_ends for reader, account in here):
        report.not_ended += 1
        report.add(_without_run(reader, account) for reader, account in here if account.run is None)
        return
    report.ended += ended is not None
    expected = None if ended is None else ended.events
    for number, reader in enumerate(readers):
        if number not in accounts and (reader.knows_ends or expected != 0):
            report.add([Finding(here[0][1].run_id, reader.name, Problem.NO_RUN)])
    reference = ended or _reference(account for _, account in here)
    for reader, account in here:
        report.events[reader.name] += account.events.count
        report.add(_compare_run(reader, account, reference, is_known=ended is not None))
    report.add(_check_tasks([one for one in here if one[0].keeps_tasks or one[1].tasks]))
    report.add(_check_events(here, expected, say))


def _reference(accounts: Iterable[Account]) -> Run | None:
    """The run according to the first store that has a row of it."""
    return next(
        (run for account in accounts for run in (account.run, *account.in_lines) if run is not None), None
    )


def _without_run(reader: StoreReader, account: Account) -> Finding:
    """A run without a row in a store that has something else of it."""
    left = [f"{account.events.count:,} of its events are there"] if account.events.count else []
    left += ["its tasks are there"] if account.tasks else []
    return Finding(account.run_id, reader.name, Problem.NO_RUN, detail=f"but {' and '.join(left)}")


def _compare_run(
    reader: StoreReader, account: Account, reference: Run | None, *, is_known: bool
) -> Iterator[Finding]:
    """Compare a store's row of a run with that of the first store."""
    run = account.run
    if run is None:
        found = Finding(account.run_id, reader.name, Problem.NO_RUN)
        yield found if is_known else _without_run(reader, account)
    elif reader.knows_ends and run.outcome is None:
        yield Finding(account.run_id, reader.name, Problem.NO_END)
    has_end = reader.knows_ends and run is not None and run.outcome is not None
    for said in (run, *(line for line in account.in_lines if line is not run)):
        names = _FIXED + _END if has_end and said is run else _FIXED
        others = [
            f"{name} {getattr(said, name)!s} instead of {getattr(reference, name)!s}"
            for name in names
            if said is not None and getattr(said, name) != getattr(reference, name)
        ]
        if others:
            whose = "" if said is run else "its lines have "
            yield Finding(account.run_id, reader.name, Problem.OTHER_RUN, detail=whose + ", ".join(others))


def _check_tasks(kept: Sequence[tuple[StoreReader, Account]]) -> Iterator[Finding]:
    """Compare the parameters of the run's tasks, and check that its events belong to these tasks."""
    reference = next((account.tasks for _, account in kept if account.tasks), {})
    for reader, account in kept:
        # A store that was added after the first event has no tasks either: reported as missing events.
        if not account.tasks and account.run and (reference or account.events.has_first):
            yield Finding(account.run_id, reader.name, Problem.NO_TASKS)
        elif account.tasks and (others := _other_tasks(reference, account.tasks)):
            more = ", ..." if len(others) > _SHOWN_TASKS else ""
            detail = ", ".join(others[:_SHOWN_TASKS]) + more
            yield Finding(account.run_id, reader.name, Problem.OTHER_TASKS, detail=detail)
        if account.unsolicited.count:
            yield Finding.of_events(account.run_id, reader.name, Problem.STRAY, account.unsolicited)


def _other_tasks(reference: dict[int, dict[str, Any]], tasks: dict[int, dict[str, Any]]) -> list[str]:
    others = []
    for task_id in sorted(reference.keys() | tasks.keys()):
        if task_id not in tasks:
            others.append(f"no task {task_id}")
        elif task_id not in reference:
            others.append(f"task {task_id}, which is not in the other stores")
        else:
            others += [
                f"task {task_id}: {name} {shown(value)} instead of {shown(reference[task_id][name])}"
                for name, value in tasks[task_id].items()
                if repr(value) != repr(reference[task_id][name])  # NaN is not equal to itself
            ]
    return others


class _Counted:
    """The events of a run in a store, one by one."""

    def __init__(self, expected: int | None) -> None:
        self._expected = expected
        self._next = 0
        self._found = {problem: Spans() for problem in (Problem.MISSING, Problem.DOUBLE, Problem.SURPLUS)}

    def take(self, seq: int, times: int) -> None:
        """Take the next event, which the store has this many times."""
        is_beyond_end = seq < 0 or (self._expected is not None and seq >= self._expected)
        if is_beyond_end:
            self._found[Problem.SURPLUS].add(seq, seq)
        else:
            self._pass_to(seq)
            self._next = seq + 1
        if times > 1:
            self._found[Problem.DOUBLE].add(seq, seq)

    def findings(self, run_id: str, store: str) -> Iterator[Finding]:
        """The findings, after the last event."""
        if self._expected is not None:
            self._pass_to(self._expected)
        for problem, spans in self._found.items():
            if spans.count:
                yield Finding.of_events(run_id, store, problem, spans)

    def _pass_to(self, seq: int) -> None:
        if seq > self._next:
            self._found[Problem.MISSING].add(self._next, seq - 1)


def _check_events(
    here: Sequence[tuple[StoreReader, Account]], expected: int | None, say: Say
) -> Iterator[Finding]:
    """Compare the fingerprints; if they differ, compare the events of all stores side by side."""
    present = [(reader, one) for reader, one in here if one.run or one.events.count]
    held = [account.events for _, account in present]
    if all(events.is_whole(expected) and events.equals(held[0]) for events in held):
        return
    run_id = present[0][1].run_id
    say(f"run {run_id} differs: its events are compared one by one")
    yield from _compare_events(run_id, [reader for reader, _ in present], expected)


def _compare_events(run_id: str, readers: Sequence[StoreReader], expected: int | None) -> Iterator[Finding]:
    counts = [_Counted(expected) for _ in readers]
    others = Spans()
    streams = [_rows(number, reader, run_id) for number, reader in enumerate(readers)]
    for seq, entries in groupby(heapq.merge(*streams, key=lambda e: e[1].seq), key=lambda e: e[1].seq):
        times: Counter[int] = Counter()
        rows: set[EventRow] = set()
        for number, row in entries:
            times[number] += 1
            if len(rows) < _ENOUGH_TO_DIFFER:
                rows.add(row)
        for number, count in times.items():
            counts[number].take(seq, count)
        if len(rows) == _ENOUGH_TO_DIFFER:
            others.add(seq, seq)
    for reader, counted in zip(readers, counts, strict=True):
        yield from counted.findings(run_id, reader.name)
    if others.count:
        names = " and ".join(reader.name for reader in readers)
        yield Finding.of_events(run_id, names, Problem.OTHER_EVENTS, others)


def _rows(number: int, reader: StoreReader, run_id: str) -> Iterator[tuple[int, EventRow]]:
    return ((number, row) for row in reader.events(run_id))
