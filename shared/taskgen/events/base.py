"""The base of all storing handlers: batches that are begun, filled and committed."""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from types import TracebackType
from typing import Any, NamedTuple, Self

from taskgen.errors import StoreError
from taskgen.event import CommittingHandler, Profile, Quarantined, Stop
from taskgen.event_columns import EventColumns, ProfileOfRun
from taskgen.run import Outcome, Run, now
from taskgen.taskset import TaskSet


class EventRow(NamedTuple):
    """An event as it is stored; (`run_id`, `seq`) identifies it."""

    run_id: str
    """The run that it belongs to."""
    seq: int
    """Its number within the run, from 0."""
    task_id: int
    """The task's `id`; -1 in a snapshot."""
    type: str
    """Usually one of `EventType`."""
    time_stamp: int
    """Milliseconds since the board's boot: unsigned, up to 64 bit."""
    received_at: str
    """Host's time, UTC, ISO 8601."""
    attributes: str | None
    """Everything else that the board sent with the event, as JSON; None if nothing else."""

    def event(self) -> dict[str, Any]:
        """The event's dictionary as xmltodict made it."""
        known = {"@task-id": str(self.task_id), "@type": self.type, "@time-stamp": str(self.time_stamp)}
        return known | (json.loads(self.attributes) if self.attributes else {})


StoredEvent = tuple[str, int, int, str, int, str, str | None]
"""An `EventRow`, or an equivalent plain tuple, which takes a tenth of the time to create."""


@dataclass(slots=True)
class Batch:
    """What was collected since the last commit.

    Stores apply it whole or not at all, and may be given it again: the same run, task or event a second
    time changes nothing, and an ended run stays ended.
    """

    started: list[tuple[Run, list[dict[str, Any]]]] = field(default_factory=list)
    """Runs with their tasks' parameters."""
    events: list[tuple[Run, EventColumns]] = field(default_factory=list)
    """Only the fixed fields of `Run` may be read here: `run_id` to `started_at`."""
    ended: list[Run] = field(default_factory=list)
    """Runs with their end; the start may have been stored by another process, or come later."""
    quarantined: list[Quarantined] = field(default_factory=list)
    """Bytes that are not events."""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By run_id: what handlers recorded."""

    def __bool__(self) -> bool:
        return bool(self.started or self.events or self.ended or self.quarantined or self.results)


@dataclass(frozen=True, slots=True)
class _Cut:
    """The point from which on a run could not be stored, although it continued."""

    events: int
    reason: str

    def shortened(self, run: Run) -> Run:
        """The ended run as it is stored."""
        ended = run.reason or f"it ended as {run.outcome}"
        missing = f"the last {run.events - self.events} of its {run.events} events could not be stored"
        return dataclasses.replace(run, events=self.events, reason=f"{ended}; {missing}: {self.reason}")


class StoringHandler(CommittingHandler):
    """Base of the handlers that store `Batch`es.

    Between `begin()` and `commit()` the callbacks only collect; otherwise each one commits on its own.
    A commit that fails keeps what was collected, so that it can be tried again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._batch = Batch()
        self._cuts: dict[str, _Cut] = {}
        self._is_collecting = False
        self._is_closed = False

    @abstractmethod
    def _write(self, batch: Batch) -> None:
        """Store a batch durably, entirely or not at all.

        Raises:
            StoreUnavailableError: not now; retrying the same batch may work.
            StoreError: it will never work.
        """

    def check(self) -> None:
        """Check that a batch could be written now; does nothing if the store cannot tell.

        Raises:
            StoreUnavailableError: not now; a later retry may succeed.
            StoreError: never.
        """

    @abstractmethod
    def _release(self) -> None:
        """Close files and connections."""

    def close(self) -> None:
        """Commit the rest and close files and connections; safe to repeat.

        Raises:
            StoreError: what was left could not be stored, and is lost.
        """
        if self._is_closed:
            return
        try:
            self.commit()
        finally:
            self._is_closed = True
            self._release()

    def begin(self) -> None:
        """Collect from now on, until `commit()`."""
        self._is_collecting = True

    def commit(self) -> None:
        """Store what was collected since `begin()`; on an error it is kept, and the batch stays open.

        Raises:
            StoreError: as `_write` does.
        """
        if self._batch and self._is_closed:
            raise StoreError("the store is closed; create a new handler")
        if self._batch:
            self._write(self._batch)
        self._batch = Batch()
        self._is_collecting = False

    def abandon(self) -> None:
        """Drop what was collected since `begin()`: the caller will pass it again."""
        self._batch = Batch()
        self._is_collecting = False

    def give_up(self, reason: str) -> None:
        """Drop what was collected since `begin()` permanently; see `CommittingHandler.give_up`."""
        lost, self._batch = self._batch, Batch()
        for run, events in lost.events:
            self._cuts.setdefault(run.run_id, _Cut(events.first_seq, reason))
        self._batch = Batch(lost.started, ended=[self._as_stored(run) for run in lost.ended])
        try:
            self.commit()  # the events may have caused the failure
        except StoreError:  # the caller has reported it
            ended = {run.run_id for run in lost.ended}
            self._cuts |= {run.run_id: _Cut(0, reason) for run, _ in lost.started if run.run_id not in ended}
        self.abandon()

    def __taskset_start__(self, taskset: TaskSet) -> None:
        """Store the run and its tasks."""
        self._batch.started.append((dataclasses.replace(_run(taskset)), [dict(task) for task in taskset]))
        self._collected()

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        """Decide as `DefaultEventHandler` does, and store the profile's events."""
        # The tasks come first: a run must be able to terminate although the disk is full.
        is_running = super().__taskset_event__(taskset, event)
        run = _run(taskset)
        self.take_events(run, EventColumns.of([ProfileOfRun(run.first_seq, run.received_at, event)]))
        return is_running

    def take_start(self, run: Run, tasks: list[dict[str, Any]]) -> None:
        """Store a run and its tasks, for callers without a task-set."""
        self._batch.started.append((run, tasks))
        self._collected()

    def take_end(self, run: Run) -> None:
        """Store how a run ended, for callers without a task-set."""
        self._batch.ended.append(self._as_stored(run))
        self._collected()

    def take_events(self, run: Run, events: EventColumns) -> None:
        """Store events without deciding anything, for callers without a task-set."""
        if events and run.run_id not in self._cuts:
            self._batch.events.append((run, events))
            self._collected()

    def take_results(self, taskset: TaskSet) -> None:
        """Store what handlers recorded about a run that has ended."""
        run = _run(taskset)
        self._batch.results.setdefault(run.run_id, {}).update(run.results)
        self._collected()

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        """Store how the run ended."""
        self._ended(taskset, Outcome.FINISHED)

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        """Store how the run ended."""
        self._ended(taskset, Outcome.STOPPED_BY_USER)

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Store the bytes and the reason."""
        self._batch.quarantined.append(quarantined)
        self._collected()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ended(self, taskset: TaskSet, usual: Outcome) -> None:
        """Collect the end; a direct caller may have left out outcome and time."""
        run = _run(taskset)
        run = dataclasses.replace(run, outcome=run.outcome or usual, ended_at=run.ended_at or now())
        self._batch.ended.append(self._as_stored(run))
        self._collected()

    def _as_stored(self, run: Run) -> Run:
        cut = self._cuts.pop(run.run_id, None)
        return run if cut is None else cut.shortened(run)

    def _collected(self) -> None:
        if not self._is_collecting:
            self.commit()


def _run(taskset: TaskSet) -> Run:
    if taskset.run is None:
        raise StoreError(
            "the task-set is not being run: set taskset.run = Run(board=...) before its events are stored"
        )
    return taskset.run


def event_rows(run: Run, events: EventColumns) -> Iterator[StoredEvent]:
    """The events as rows."""
    return zip(
        repeat(run.run_id),
        range(events.first_seq, events.next_seq),
        events.task_ids,
        events.types,
        events.time_stamps,
        events.received(),
        _attributes(events),
    )


def _attributes(events: EventColumns) -> Iterable[str | None]:
    """The column `attributes`: everything that the other columns lack, as JSON."""
    if not events.unusual:
        return repeat(None)
    return map(events.others, range(len(events)))
