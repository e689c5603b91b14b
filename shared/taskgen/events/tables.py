"""The tables of the SQL stores: statements, and what the values of their columns mean."""

# ruff: noqa: S608 - the parts of these statements are constants

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final, NamedTuple

from taskgen.event import Quarantined
from taskgen.event_columns import one_line
from taskgen.event_type import EventType
from taskgen.events.base import Batch, EventRow
from taskgen.events.decoding import number, or_none, shown, text
from taskgen.run import Outcome, Run

SQLITE_MAX: Final = 2**63 - 1
"""The largest number that SQLite's INTEGER holds."""

_TASK_COLUMNS: Final = (
    "pkg",
    "executiontime",
    "criticaltime",
    "priority",
    "deadline",
    "period",
    "offset",
    "numberofjobs",
    "quota",
    "caps",
    "cores",
    "coreoffset",
)
_RUN: Final = "run_id, taskset_id, board, attempt, variant, started_at"
_ENDED_RUN: Final = f"{_RUN}, ended_at, outcome, reason, events"
_TASK: Final = f"run_id, task_id, {', '.join(_TASK_COLUMNS)}, config".replace("offset,", '"offset",', 1)
EVENT: Final = "run_id, seq, task_id, type, time_stamp, received_at, attributes"
_QUARANTINE: Final = "received_at, board, run_id, reason, data"


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT"


# In SQLite's spelling, and in the order of the values that the functions below make and take.
INSERT_RUN: Final = f"{_insert('runs', _RUN)} DO NOTHING"
END_RUN: Final = (
    f"{_insert('runs', _ENDED_RUN)} (run_id) DO UPDATE SET ended_at = excluded.ended_at, "
    "outcome = excluded.outcome, reason = excluded.reason, events = excluded.events "
    "WHERE runs.outcome IS NULL"
)
INSERT_TASK: Final = f"{_insert('tasks', _TASK)} DO NOTHING"
INSERT_EVENT: Final = f"{_insert('events', EVENT)} DO NOTHING"
INSERT_QUARANTINED: Final = f"{_insert('quarantine', f'digest, {_QUARANTINE}')} DO NOTHING"
SELECT_RUNS: Final = f"SELECT {_ENDED_RUN} FROM runs"
SELECT_TASKS: Final = f"SELECT {_TASK} FROM tasks"
SELECT_EVENTS: Final = f"SELECT {EVENT} FROM events"
SELECT_JOBS: Final = (
    "SELECT run_id, task_id, job, start_ms, end_ms, exit_type, run_time_ms FROM jobs "
    "WHERE run_id = ? ORDER BY task_id, job"
)
SELECT_QUARANTINED: Final = f"SELECT {_QUARANTINE} FROM quarantine ORDER BY received_at, digest"
_OF_A_TASK: Final = ", ".join(f"'{kind}'" for kind in EventType if kind is not EventType.EXTERNAL)
SELECT_WITHOUT_TASK: Final = (
    f"SELECT run_id, seq FROM events WHERE type IN ({_OF_A_TASK}) AND NOT EXISTS "
    "(SELECT 1 FROM tasks WHERE tasks.run_id = events.run_id AND tasks.task_id = events.task_id) "
    "AND EXISTS (SELECT 1 FROM tasks WHERE tasks.run_id = events.run_id)"
)
"""Events of tasks that their run does not have, though it has some; an `EXTERNAL` is no task's."""

_USUAL_EVENTS: Final = {(str, int, int, str, int, str, more) for more in (str, type(None))}


class JobRow(NamedTuple):
    """One job, as the view `jobs` pairs the events."""

    run_id: str
    """The run that it belongs to."""
    task_id: int
    """The task's `id`."""
    job: int
    """Number among the task's jobs, from 0."""
    start_ms: int | None
    """Milliseconds of the board's clock; None if it was not seen."""
    end_ms: int | None
    """Milliseconds of the board's clock; None if it was not seen."""
    exit_type: str | None
    """Type of the event that ended it; None if it was not seen."""
    run_time_ms: int | None
    """None if start or end is None, or if the clock was set back."""


def schema(name: str, package: str = __package__) -> str:
    """The text of one of the `.sql` files in a package, this one by default."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def run_values(run: Run) -> tuple[str | int, ...]:
    """The columns of a run that are known from its start on."""
    return run.run_id, run.taskset_id, run.board, run.attempt, run.variant, run.started_at


def end_values(run: Run) -> tuple[str | int | None, ...]:
    """All columns of a run that ended."""
    return *run_values(run), run.ended_at, run.outcome and run.outcome.value, run.reason, run.events


def known_runs(batch: Batch) -> list[Run]:
    """The runs with a start or events in a batch, each once, ordered by id.

    Events alone are enough to know a run: another replica may have stored its start, or nobody yet. The
    order is the same for every writer, so that two of them cannot wait for each other.
    """
    runs = {run.run_id: run for run, _ in (*batch.started, *batch.events)}
    return [runs[run_id] for run_id in sorted(runs)]


def ended_runs(batch: Batch) -> list[Run]:
    """The runs that ended, ordered by id, each with its first end."""
    runs = {run.run_id: run for run in reversed(batch.ended)}
    return [runs[run_id] for run_id in sorted(runs)]


def run_from(row: tuple[Any, ...]) -> Run:
    """The run of a row with all columns; `outcome` is None while it has not ended.

    Raises:
        TypeError, ValueError: as all these functions that read rows do, if a value is none for its column.
    """
    run_id, taskset_id, board, attempt, variant, started_at, ended_at, outcome, reason, events = row
    return Run(
        board=text("board", board),
        run_id=text("run_id", run_id),
        taskset_id=text("taskset_id", taskset_id),
        attempt=number("attempt", attempt),
        variant=number("variant", variant),
        started_at=text("started_at", started_at),
        ended_at=or_none(text, "ended_at", ended_at) or "",
        outcome=or_none(_outcome, "outcome", outcome),
        reason=or_none(text, "reason", reason) or "",
        events=or_none(number, "events", events) or 0,
    )


def _outcome(name: str, value: object) -> Outcome:
    if value not in set(Outcome):
        raise ValueError(f"{name} is {shown(value)}, not one of {', '.join(Outcome)}")
    return Outcome(str(value))


def event_from(row: tuple[Any, ...]) -> EventRow:
    """The event of a row with all columns."""
    if tuple(map(type, row)) in _USUAL_EVENTS:  # fast path, as this runs for every event
        return EventRow._make(row)
    run_id, seq, task_id, kind, time_stamp, received_at, attributes = row
    return EventRow(
        text("run_id", run_id),
        number("seq", seq),
        number("task_id", task_id),
        text("type", kind),
        number("time_stamp", time_stamp),
        text("received_at", received_at),
        or_none(text, "attributes", attributes),
    )


def task_values(run: Run, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    """A task's parameters in the order of the table's columns; `config` is JSON."""
    values = {name: parameters.get(name) for name in _TASK_COLUMNS}
    if values["quota"] is not None:
        values["quota"] = str(values["quota"])  # a column of text, for "1M"
    return run.run_id, parameters["id"], *values.values(), json.dumps(parameters.get("config"), default=str)


def task_from(row: tuple[Any, ...]) -> dict[str, Any]:
    """The parameters of a row without its run: as `Task` takes them."""
    task_id, *values, config = row
    named = dict(zip(_TASK_COLUMNS, values, strict=True))
    or_none(text, "pkg", named["pkg"])
    try:
        named["config"] = json.loads(config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"config is {shown(config)}, not JSON") from error
    return {"id": number("task_id", task_id)} | named


def task_of_run(row: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    """A run's id and the parameters of one of its tasks, of a row with all columns."""
    run_id, *task = row
    return text("run_id", run_id), task_from(tuple(task))


def event_key_from(row: tuple[Any, ...]) -> tuple[str, int]:
    """The key of an event."""
    run_id, seq = row
    return text("run_id", run_id), number("seq", seq)


def job_from(row: tuple[Any, ...]) -> JobRow:
    """The job of a row of the view."""
    run_id, task_id, job, start_ms, end_ms, exit_type, run_time_ms = row
    start, end, run_time = (None if t is None else int(t) for t in (start_ms, end_ms, run_time_ms))
    return JobRow(
        text("run_id", run_id),
        number("task_id", task_id),
        job,
        start,
        end,
        or_none(text, "exit_type", exit_type),
        run_time,
    )


def quarantine_digest(quarantined: Quarantined) -> str:
    """A key for quarantined bytes: the same bytes of the same moment are kept once."""
    reason = one_line(quarantined.reason)
    named = (quarantined.received_at, quarantined.board, quarantined.run_id, reason)
    return hashlib.sha256(json.dumps(named).encode() + quarantined.data).hexdigest()


def quarantine_values(quarantined: Quarantined) -> tuple[str | bytes | None, ...]:
    """The row of a quarantine table."""
    return (
        quarantine_digest(quarantined),
        quarantined.received_at,
        quarantined.board,
        quarantined.run_id,
        one_line(quarantined.reason),
        quarantined.data,
    )


def quarantined_from(row: tuple[Any, ...]) -> Quarantined:
    """The quarantined bytes of a row, without its digest."""
    received_at, board, run_id, reason, data = row
    if not isinstance(data, bytes):
        raise TypeError(f"data is {shown(data)}, not bytes")
    return Quarantined(
        text("reason", reason),
        data,
        text("board", board),
        text("received_at", received_at),
        or_none(text, "run_id", run_id),
    )
