"""The tables of the SQL stores: statements, and the meaning of their columns."""

# ruff: noqa: S608 - the parts of these statements are constants

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib import resources
from typing import Any, Final

from taskgen.event import Quarantined
from taskgen.event_columns import one_line
from taskgen.event_type import JOB_ENDS, EventType
from taskgen.events.base import Batch, EventRow
from taskgen.events.decoding import number, or_none, shown, text
from taskgen.metrics import JobRow, RunMetrics, TimedEvent
from taskgen.run import CampaignFacts, Outcome, Run, VariantFacts

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
_CAMPAIGN: Final = ", ".join(field.name for field in dataclasses.fields(CampaignFacts))
_VARIANT: Final = "taskset_id, campaign_id, source, variant, parameters"
JOB: Final = ", ".join(JobRow._fields)
_OF_A_JOB: Final = ", ".join(f"'{kind}'" for kind in sorted({*JOB_ENDS, "START", "NOT_SCHEDULED"}))
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
INSERT_CAMPAIGN: Final = f"{_insert('campaigns', _CAMPAIGN)} DO NOTHING"
INSERT_VARIANT: Final = f"{_insert('variants', _VARIANT)} DO NOTHING"
INSERT_BINARY: Final = f"{_insert('binaries', 'run_id, pkg, sha256')} DO NOTHING"
INSERT_RESULT: Final = (
    f"{_insert('results', 'run_id, name, value')} (run_id, name) DO UPDATE SET value = excluded.value"
)
SELECT_CAMPAIGNS: Final = f"SELECT {_CAMPAIGN} FROM campaigns ORDER BY started_at, campaign_id"
SELECT_VARIANTS: Final = f"SELECT {_VARIANT} FROM variants"
SELECT_RESULTS: Final = "SELECT run_id, name, value FROM results ORDER BY run_id, name"
SELECT_BINARIES: Final = "SELECT run_id, pkg, sha256 FROM binaries ORDER BY run_id, pkg"

COLUMNS_OF: Final = {
    "campaigns": tuple(_CAMPAIGN.split(", ")),
    "variants": tuple(_VARIANT.split(", ")),
    "tasks": tuple(_TASK.replace('"', "").split(", ")),
    "binaries": ("run_id", "pkg", "sha256"),
    "runs": tuple(_ENDED_RUN.split(", ")),
    "results": ("run_id", "name", "value"),
}
"""The columns of tables that CSV stores keep, too, in the order of the values made below."""

INSERT_JOB: Final = f"{_insert('jobs', JOB)} DO NOTHING"
INSERT_RUN_METRICS: Final = (
    f"{_insert('run_metrics', 'run_id, jobs, misses, skipped_releases, utilization')} DO NOTHING"
)
SELECT_JOBS: Final = f"SELECT {JOB} FROM jobs WHERE run_id = ? ORDER BY task_id, job"
SELECT_HAS_METRICS: Final = "SELECT 1 FROM run_metrics WHERE run_id = ?"
SELECT_TIMED_EVENTS: Final = (
    "SELECT task_id, type, time_stamp, CASE WHEN length(attributes) <= 4096 THEN attributes END FROM events "
    f"WHERE run_id = ? AND type IN ({_OF_A_JOB}) ORDER BY seq"
)
"""Attributes can be as large as a frame; those that metrics need are short."""
_OF_A_TASK: Final = ", ".join(f"'{kind}'" for kind in EventType if kind is not EventType.EXTERNAL)
_LACKS_METRICS: Final = (
    "FROM runs WHERE outcome IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM run_metrics WHERE run_metrics.run_id = runs.run_id) "
    "AND EXISTS (SELECT 1 FROM tasks WHERE tasks.run_id = runs.run_id) "
    f"AND NOT EXISTS (SELECT 1 FROM events WHERE events.run_id = runs.run_id AND type IN ({_OF_A_TASK}) "
    "AND NOT EXISTS "
    "(SELECT 1 FROM tasks WHERE tasks.run_id = events.run_id AND tasks.task_id = events.task_id)) "
    "AND events = (SELECT count(*) FROM events WHERE events.run_id = runs.run_id)"
)
IS_COMPLETE: Final = f"SELECT 1 {_LACKS_METRICS} AND run_id = ?"
"""Whether a run has ended and is stored completely, but its metrics are missing."""
SELECT_COMPLETE: Final = f"SELECT run_id {_LACKS_METRICS} ORDER BY run_id"
SELECT_COMPLETE_OF: Final = f"SELECT run_id {_LACKS_METRICS} AND run_id"
"""Selects further runs."""
SELECT_QUARANTINED: Final = f"SELECT {_QUARANTINE} FROM quarantine ORDER BY received_at, digest"
SELECT_WITHOUT_TASK: Final = (
    f"SELECT run_id, seq FROM events WHERE type IN ({_OF_A_TASK}) AND NOT EXISTS "
    "(SELECT 1 FROM tasks WHERE tasks.run_id = events.run_id AND tasks.task_id = events.task_id) "
    "AND EXISTS (SELECT 1 FROM tasks WHERE tasks.run_id = events.run_id)"
)
"""Events of tasks that their run does not have, though it has some; an `EXTERNAL` is no task's."""

_USUAL_EVENTS: Final = {(str, int, int, str, int, str, more) for more in (str, type(None))}


def schema(name: str, package: str = __package__) -> str:
    """The text of one of the `.sql` files in a package, this one by default."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def run_values(run: Run) -> tuple[str | int, ...]:
    """The columns of a run that are known when it starts."""
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
    for name in ("period", "deadline"):  # used by metrics
        or_none(number, name, named[name])
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


def campaign_values(campaign: CampaignFacts) -> tuple[str, ...]:
    """The columns of a campaign."""
    return dataclasses.astuple(campaign)


def campaign_from(row: tuple[Any, ...]) -> CampaignFacts:
    """The campaign of a row."""
    return CampaignFacts(*(text("a campaign's column", value) for value in row))


def variant_from(row: tuple[Any, ...]) -> VariantFacts:
    """The variant of a row."""
    taskset_id, campaign_id, source, variant, written = row
    parameters = json.loads(written)
    if not isinstance(parameters, dict):
        raise TypeError(f"parameters is {shown(written)}, not an object")
    return VariantFacts(
        text("taskset_id", taskset_id),
        text("campaign_id", campaign_id),
        text("source", source),
        number("variant", variant),
        parameters,
    )


def result_from(row: tuple[Any, ...]) -> tuple[str, str, Any]:
    """A run's id, and the name and value of what a handler recorded about it."""
    run_id, name, value = row
    return text("run_id", run_id), text("name", name), json.loads(value)


def binary_from(row: tuple[Any, ...]) -> tuple[str, str, str]:
    """A run's id, and the name and SHA-256 of one of its binaries."""
    run_id, pkg, sha256 = row
    return text("run_id", run_id), text("pkg", pkg), text("sha256", sha256)


def variant_values(run: Run) -> tuple[str | int, ...]:
    """The columns of the variant that a run executed."""
    campaign_id = run.campaign.campaign_id if run.campaign else ""
    return run.taskset_id, campaign_id, run.source, run.variant, json.dumps(run.parameters, default=str)


def rows_of_starts(batch: Batch) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Statements, each with its rows, for the data of a batch's starts besides runs and tasks."""
    yield INSERT_CAMPAIGN, campaign_rows(batch)
    yield INSERT_VARIANT, sorted(variant_values(run) for run, _ in batch.started)
    yield INSERT_BINARY, binary_rows(batch)


def campaign_rows(batch: Batch) -> list[tuple[Any, ...]]:
    """The rows of the campaigns that runs of a batch begin in, ordered by id."""
    campaigns = {run.campaign.campaign_id: run.campaign for run, _ in batch.started if run.campaign}
    return [campaign_values(campaigns[one]) for one in sorted(campaigns)]


def binary_rows(batch: Batch) -> list[tuple[Any, ...]]:
    """The rows of the binaries that runs of a batch begin with, ordered by run and name."""
    return sorted(
        (run.run_id, name, digest) for run, _ in batch.started for name, digest in run.binaries.items()
    )


def result_values(run_id: str, results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The rows of what handlers recorded about a run."""
    return [(run_id, name, json.dumps(value, default=str)) for name, value in sorted(results.items())]


def metrics_values(run_id: str, metrics: RunMetrics) -> tuple[str | int | float | None, ...]:
    """The columns of a run's metrics."""
    return run_id, metrics.jobs, metrics.misses, metrics.skipped_releases, metrics.utilization


def touched_runs(batch: Batch) -> list[str]:
    """Ids of the runs of which a batch stores anything, in order."""
    of_batch = (*batch.started, *batch.events)
    return sorted({run.run_id for run, _ in of_batch} | {run.run_id for run in batch.ended})


def job_from(row: tuple[Any, ...]) -> JobRow:
    """The job of a row with all columns."""
    run_id, task_id, job, release_ms, end_ms, exit_type, *metrics = row
    return JobRow(
        text("run_id", run_id),
        number("task_id", task_id),
        number("job", job),
        or_none(_time_stamp, "release_ms", release_ms),
        or_none(_time_stamp, "end_ms", end_ms),
        or_none(text, "exit_type", exit_type),
        *(or_none(number, "a metric", metric) for metric in metrics),
    )


def _time_stamp(name: str, value: object) -> int:
    """A time stamp, which SQLite keeps as text if it is large, and PostgreSQL as a decimal."""
    return number(name, int(value) if isinstance(value, Decimal) else value)


def timed_event_from(row: tuple[Any, ...]) -> TimedEvent:
    """The parts of an event that job metrics need."""
    task_id, kind, time_stamp, attributes = row
    if type(task_id) is type(time_stamp) is int and attributes is None:  # fast path, for every event
        return row
    return (
        number("task_id", task_id),
        text("type", kind),
        _time_stamp("time_stamp", time_stamp),
        or_none(text, "attributes", attributes),
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
