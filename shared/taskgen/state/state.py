"""Durable task-sets and runs: written by one process at a time, in one transaction per batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple, TypeVar, get_type_hints

from pydantic import AfterValidator, TypeAdapter, ValidationError

from taskgen.errors import StoreError, StoreUnavailableError, UnreadableError
from taskgen.run import Outcome, new_id
from taskgen.state.database import Database, Writer

ALL: Final = "all"
"""Scope of the counts of all runs; every other scope is a campaign."""

OutcomeText = Annotated[str, AfterValidator(lambda text: Outcome(text).value)]
"""The value of an `Outcome`."""


class TaskSetState(StrEnum):
    """Where a task-set is in its lifecycle; stored, so two values keep the names of older versions."""

    RUNNING = "running"
    WAITING = "waiting"
    """Requeued after an attempt without a result."""
    DONE = "done"
    """It has a result."""
    FAILED = "bad"
    CANCELLED = "called_off"


@dataclass(slots=True)
class TaskSetRow:
    """A task-set, over all its attempts."""

    taskset_id: str
    campaign_id: str
    state: str
    outcome: str | None
    """Of the first run with a result."""
    message: str
    """JSON of the `TaskSetMessage` of the last attempt."""

    @property
    def counted_as(self) -> str:
        """The name under which its campaign counts it."""
        return self.outcome or self.state


@dataclass(slots=True)
class RunRow:
    """A run."""

    run_id: str
    taskset_id: str
    campaign_id: str
    board: str
    distributor: str
    attempt: int
    variant: int
    started_at: str
    next_seq: int = 0
    """Number of the next event to handle."""
    done_tasks: str = "[]"
    """JSON: ids of the tasks for which JOBS_DONE arrived."""
    decision: OutcomeText | None = None
    """The outcome that was decided."""
    decided_because: str = ""
    outcome: OutcomeText | None = None
    """None while it is in progress."""
    reason: str = ""
    ended_at: str = ""
    events: int | None = None
    """The total number of events; None until the closing message arrives."""
    is_duplicate: bool = False
    """Its task-set had a result or another run already, and does not depend on this one."""
    is_resolved: bool = False
    """Its end has been applied to its task-set."""
    is_closed: bool = False
    """The handler was given its end; everything else is a duplicate."""


class JobState(NamedTuple):
    """One job of a task in a run; times in ms of the board's clock."""

    run_id: str
    task_id: int
    job: int
    start_ms: int | None
    end_ms: int | None
    exit_type: str | None


class OutOfOrderRow(NamedTuple):
    """A message that arrived before its turn."""

    message_id: str
    run_id: str
    body: str


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message that has to reach the broker."""

    exchange: str
    routing_key: str
    message_id: str
    body: str
    outgoing_id: str = field(default_factory=new_id)


@dataclass(slots=True)
class Changes:
    """The changes of one transaction; rows are read when it is written."""

    tasksets: dict[str, TaskSetRow] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    jobs: list[JobState] = field(default_factory=list)
    """A later row replaces an earlier one of the same job."""
    out_of_order: dict[str, OutOfOrderRow] = field(default_factory=dict)
    """New messages, by id."""
    applied_messages: set[str] = field(default_factory=set)
    """Ids of messages that are no longer out of order."""
    runs_without_messages: set[str] = field(default_factory=set)
    """Ids of runs whose out-of-order messages are obsolete."""
    outgoing: list[OutgoingMessage] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    """Ids of outgoing messages that the broker has confirmed."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Differences, by scope and name."""

    def __bool__(self) -> bool:
        # Counts change only together with these.
        return any((self.tasksets, self.runs, self.jobs, self.out_of_order, self.outgoing, self.sent)) or any(
            (self.applied_messages, self.runs_without_messages)
        )


R = TypeVar("R", RunRow, TaskSetRow)


_COLUMNS: Final = {"is_duplicate": "is_surplus", "is_resolved": "is_settled", "outgoing_id": "sending_id"}
"""Columns whose names differ from those of their fields."""


def _columns(row: type[Any]) -> tuple[str, ...]:
    names = getattr(row, "_fields", None) or [field.name for field in fields(row)]
    return tuple(_COLUMNS.get(name, name) for name in names)


def _select(table: str, row: type[Any]) -> str:
    return f"SELECT {', '.join(_columns(row))} FROM {table}"  # noqa: S608 - names of this library's own


def _upsert(table: str, row: type[Any], *key: str) -> str:
    names = _columns(row)
    places = ", ".join("?" for _ in names)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places}) "  # noqa: S608 - as above
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    )


_TABLES: Final = ("ownership", "tasksets", "runs", "jobs", "early", "sendings", "tallies", "campaigns")
"""Older names remain: `early` holds out-of-order messages, `sendings` outgoing ones, `tallies` counts."""
_TASKSETS: Final = _select("tasksets", TaskSetRow)
_RUNS: Final = _select("runs", RunRow)
_JOBS: Final = (
    f"{_select('jobs', JobState)} WHERE run_id = ? AND (task_id, job) > (?, ?) ORDER BY task_id, job LIMIT ?"
)
_JOBS_AT_ONCE: Final = 1_000
_NO_RUN: Final = RunRow("", "", "", "", "", 0, 0, "")
_NO_TASKSET: Final = TaskSetRow("", "", "", None, "")
_KINDS: Final = {
    row: {name: TypeAdapter[Any](kind) for name, kind in get_type_hints(row, include_extras=True).items()}
    for row in (RunRow, TaskSetRow)
}
_OUTGOING: Final = _select("sendings", OutgoingMessage)
_KEEP_TASKSET: Final = _upsert("tasksets", TaskSetRow, "taskset_id")
_KEEP_RUN: Final = _upsert("runs", RunRow, "run_id")
_KEEP_JOB: Final = _upsert("jobs", JobState, "run_id", "task_id", "job")
_KEEP_OUT_OF_ORDER: Final = _upsert("early", OutOfOrderRow, "message_id")
_KEEP_OUTGOING: Final = _upsert("sendings", OutgoingMessage, "sending_id")
_COUNT: Final = (
    "INSERT INTO tallies (scope, name, number) VALUES (?, ?, ?) "
    "ON CONFLICT (scope, name) DO UPDATE SET number = tallies.number + excluded.number"
)
_CAMPAIGN_CHANGED: Final = (
    "INSERT INTO campaigns (campaign_id, changed) "
    "VALUES (?, (SELECT coalesce(max(changed), 0) + 1 FROM campaigns)) "
    "ON CONFLICT (campaign_id) DO UPDATE SET changed = excluded.changed"
)
_CAMPAIGNS: Final = (
    "SELECT scope, name, number FROM tallies WHERE scope IN "
    "(SELECT campaign_id FROM campaigns ORDER BY changed DESC LIMIT ?) "
    "OR scope IN (SELECT scope FROM tallies WHERE scope <> ? AND name IN (?, ?) AND number > 0)"
)


class State:
    """The state of one owner, to be used by one thread at a time.

    Only the process that claimed it last can write it: its token fences off all others. Methods raise what
    those of `Database` raise.

    Args:
        database: holds the state.
        owner: the name of a controller or handler.
    """

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._fencing_token = new_id()

    def check(self) -> None:
        """Check that the database can be reached."""
        self._database.rows("SELECT name FROM ownership")

    def check_writable(self) -> None:
        """Check that every table can be written, without claiming the state."""
        with self._database.transaction() as writer:
            for table in _TABLES:
                writer.run(f"DELETE FROM {table} WHERE 1 = 0")  # noqa: S608 - names of this library's own
            writer.run("UPDATE ownership SET name = name")  # waits for the disk

    def claim(self) -> bool:
        """Make this process the only one that can write.

        Returns:
            Whether it was already, so that what it has in memory is still valid.

        Raises:
            StoreError: the state belongs to another owner.
        """
        with self._database.transaction() as writer:
            writer.run(
                "INSERT INTO ownership (id, name, token) VALUES (1, ?, '') ON CONFLICT DO NOTHING",
                self._owner,
            )
            is_ours = bool(self._touch(writer))
            if not is_ours and not writer.run(
                "UPDATE ownership SET token = ? WHERE name = ?", self._fencing_token, self._owner
            ):
                raise StoreError(f"this state does not belong to {self._owner}; give another state URL")
        return is_ours

    def run(self, run_id: str) -> RunRow | None:
        """A run, if it is known.

        Raises:
            UnreadableError: it is not closed, and its row is invalid; see `rest_of_run`.
        """
        row, faults = self._run(run_id)
        if row is not None and faults and not row.is_closed:
            raise UnreadableError(f"its row has invalid values in: {', '.join(faults)}")
        return row

    def rest_of_run(self, run_id: str) -> RunRow:
        """The valid part of a run's row, with empty values for the rest."""
        row, _ = self._run(run_id)
        return replace(row or _NO_RUN, run_id=run_id)

    def live_runs(self) -> list[str]:
        """The ids of the runs without an outcome, oldest first."""
        query = "SELECT run_id FROM runs WHERE outcome IS NULL ORDER BY run_id"
        return [run_id for (run_id,) in self._database.rows(query) if isinstance(run_id, str)]

    def taskset(self, taskset_id: str) -> TaskSetRow | None:
        """A task-set, if it is known; with empty values for invalid ones."""
        rows = self._database.rows(f"{_TASKSETS} WHERE taskset_id = ?", taskset_id)
        return _understood(rows[0], _NO_TASKSET)[0] if rows else None

    def jobs(self, run_id: str) -> Iterator[JobState]:
        """A run's jobs, ordered by task and number, read in chunks.

        Raises:
            UnreadableError: one of them is invalid.
        """
        task_id, job = -1, -1
        while rows := self._database.rows(_JOBS, run_id, task_id, job, _JOBS_AT_ONCE):
            yield from map(_job, rows)
            _, task_id, job, *_ = rows[-1]

    def out_of_order_ids(self, run_id: str) -> list[str]:
        """The ids of a run's out-of-order messages, unsorted."""
        query = "SELECT message_id FROM early WHERE run_id = ?"
        return [name for (name,) in self._database.rows(query, run_id) if isinstance(name, str)]

    def out_of_order_body(self, message_id: str) -> str | None:
        """The body of an out-of-order message, if it is there."""
        rows = self._database.rows("SELECT body FROM early WHERE message_id = ?", message_id)
        return rows[0][0] if rows else None

    def outgoing(self) -> list[OutgoingMessage]:
        """The messages that the broker has not confirmed, oldest first; unusable rows are skipped."""
        rows = self._database.rows(f"{_OUTGOING} ORDER BY sending_id")
        return [OutgoingMessage(*row) for row in rows if all(isinstance(value, str) for value in row)]

    def run_counts(self) -> dict[str, int]:
        """The number of runs by outcome (`running`: without one), and of failed task-sets (`bad`)."""
        rows = self._database.rows("SELECT name, number FROM tallies WHERE scope = ?", ALL)
        return {name: number for name, number in rows if _is_count(name, number) and number}

    def campaign_counts(self, latest: int) -> dict[str, dict[str, int]]:
        """The number of task-sets by state or outcome, by campaign.

        Args:
            latest: how many of the most recently changed campaigns to return, besides those with a running
                or waiting task-set.
        """
        rows = self._database.rows(
            _CAMPAIGNS, latest, ALL, TaskSetState.RUNNING.value, TaskSetState.WAITING.value
        )
        campaigns: dict[str, dict[str, int]] = {}
        for scope, name, number in rows:
            if isinstance(scope, str) and _is_count(name, number):
                campaigns.setdefault(scope, {})[name] = number
        return campaigns

    def write(self, changes: Changes) -> None:
        """Write all changes, or none.

        Raises:
            StoreUnavailableError: also if another process has claimed the state meanwhile.
        """
        with self._database.transaction() as writer:
            if not self._touch(writer):
                raise StoreUnavailableError(f"another process has claimed the state of {self._owner}")
            writer.many(_KEEP_TASKSET, map(_values, changes.tasksets.values()))
            writer.many(_KEEP_RUN, map(_values, changes.runs.values()))
            writer.many(_KEEP_JOB, changes.jobs)
            writer.many(_KEEP_OUT_OF_ORDER, changes.out_of_order.values())
            _delete(writer, "DELETE FROM early WHERE message_id = ?", changes.applied_messages)
            _delete(writer, "DELETE FROM early WHERE run_id = ?", changes.runs_without_messages)
            writer.many(_KEEP_OUTGOING, map(_values, changes.outgoing))
            _delete(writer, "DELETE FROM sendings WHERE sending_id = ?", changes.sent)
            counts = [(*key, number) for key, number in sorted(changes.counts.items()) if number]
            writer.many(_COUNT, counts)
            campaigns = sorted({scope for scope, _, _ in counts} - {ALL})
            writer.many(_CAMPAIGN_CHANGED, [(campaign,) for campaign in campaigns])

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _touch(self, writer: Writer) -> int:
        """Lock the claim until the transaction ends; 0 if another process has it."""
        return writer.run(
            "UPDATE ownership SET token = ? WHERE token = ?", self._fencing_token, self._fencing_token
        )

    def _run(self, run_id: str) -> tuple[RunRow | None, list[str]]:
        """A run's row, and the names of its unusable values."""
        rows = self._database.rows(f"{_RUNS} WHERE run_id = ?", run_id)
        return _understood(rows[0], _NO_RUN) if rows else (None, [])


def _delete(writer: Writer, statement: str, ids: Iterable[str]) -> None:
    writer.many(statement, [(one,) for one in sorted(ids)])


def _values(row: TaskSetRow | RunRow | OutgoingMessage) -> tuple[Any, ...]:
    """A row's values, with flags as integers in both databases."""
    values = (getattr(row, field.name) for field in fields(row))
    return tuple(int(value) if isinstance(value, bool) else value for value in values)


def _understood(values: Sequence[Any], empty: R) -> tuple[R, list[str]]:
    """A row with its valid values, and the names of the others."""
    usable, faults = dict[str, Any](), list[str]()
    for (name, kind), value in zip(_KINDS[type(empty)].items(), values, strict=True):
        try:
            usable[name] = kind.validate_python(value)
        except ValidationError:
            faults.append(name)
    return replace(empty, **usable), faults


def _is_count(name: object, number: object) -> bool:
    return isinstance(name, str) and isinstance(number, int)


def _job(row: Sequence[Any]) -> JobState:
    run_id, task_id, job, start_ms, end_ms, exit_type = row
    try:
        start, end = (None if time is None else int(time) for time in (start_ms, end_ms))
        return JobState(run_id, int(task_id), int(job), start, end, exit_type and str(exit_type))
    except (ValueError, TypeError, OverflowError) as error:
        raise UnreadableError(f"job {job} of task {task_id} has invalid numbers: {error}") from error
