"""`taskgen show`: show the runs and jobs in a database."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import typer
from rich.console import Console, OverflowMethod
from rich.table import Table
from rich.text import Text

from taskgen.cli.gantt import ASCII_STROKES, Strokes, gantt
from taskgen.cli.terminal import result_console, styled
from taskgen.errors import SettingsError
from taskgen.event_type import EventType
from taskgen.events.sql import SqliteReader
from taskgen.metrics import JobRow, distance_ms, earliest_ms
from taskgen.run import Outcome, Run, parameter_text, resolve_campaign, resolve_id
from taskgen.untrusted_text import printable

_RUNS: Final = 20
_JOBS: Final = 40
_TO_SECONDS: Final = len("2026-01-31T23:59:59")
_LONG: Final = frozenset({"parameters", "reason"})
"""Columns that are wrapped, so that ids can be copied, and omitted if empty."""
SHORT_ID: Final = 8
"""The end of a UUIDv7 is random; its beginning is the time."""
_STYLES: Final = {
    Outcome.FINISHED: "green",
    Outcome.STOPPED_BY_RULE: "green",
    Outcome.STOPPED_BY_USER: "yellow",
}


def show(
    events_db: Annotated[Path, typer.Argument(metavar="EVENTS.DB", help="The SQLite database.")],
    *,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Show the jobs of one run; the beginning or the end of its id is enough."
        ),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Show the last N runs (default: {_RUNS}) or jobs (default: {_JOBS}; the chart shows all).",
            min=1,
        ),
    ] = None,
    outcome: Annotated[
        Outcome | None, typer.Option(metavar="OUTCOME", help="Only runs with this outcome.")
    ] = None,
    board: Annotated[str, typer.Option(metavar="ADDRESS", help="Only runs on this board.")] = "",
    variant: Annotated[int | None, typer.Option(metavar="N", help="Only runs of this variant.")] = None,
    campaign: Annotated[str, typer.Option(metavar="NAME", help="Only runs of this campaign.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print the runs, or the jobs, as JSON.")
    ] = False,
) -> None:
    """Show the runs of a database, or the jobs of one run."""
    if events_db.is_dir() or events_db.suffix.lower() in {".csv", ".zip"}:
        raise SettingsError(
            f"{events_db}: show reads only databases of --sqlite; `taskgen report` reads this"
        )
    console = result_console()
    with closing(SqliteReader(events_db)) as reader:
        if run is not None:
            found = _named(reader, run)
            if as_json:
                typer.echo(json.dumps([job._asdict() for job in reader.jobs(found.run_id)]))
            else:
                _show_run(console, reader, found, last)
            return
        wanted = _Wanted(outcome, board, variant, _campaign_id(reader, campaign))
        runs, count = _latest(reader, wanted, last or _RUNS)
        if as_json:
            typer.echo(json.dumps([_as_dict(reader, one) for one in runs]))
        else:
            _show_runs(console, reader, runs, count)


class _Wanted(NamedTuple):
    """Which runs to show; all runs if every field is empty."""

    outcome: Outcome | None
    board: str
    variant: int | None
    campaign_id: str

    def fits(self, reader: SqliteReader, run: Run) -> bool:
        """Whether to show a run."""
        if self.outcome not in (None, run.outcome) or self.board not in ("", run.board):
            return False
        if self.variant not in (None, run.variant):
            return False
        return not self.campaign_id or self.campaign_id == _campaign_of(reader, run)


def _campaign_of(reader: SqliteReader, run: Run) -> str:
    facts = reader.variant(run.taskset_id)
    return facts.campaign_id if facts else ""


def _campaign_id(reader: SqliteReader, wanted: str) -> str:
    if not wanted:
        return ""
    return resolve_campaign(wanted, {one.campaign_id: one.name for one in reader.campaigns()}, reader.name)


def _latest(reader: SqliteReader, wanted: _Wanted, most: int) -> tuple[list[Run], int]:
    """The last runs that are wanted, ordered by id, and how many there are."""
    if not any(field not in (None, "") for field in wanted):
        return reader.last_runs(most), reader.count_runs()
    latest: deque[Run] = deque(maxlen=most)
    count = 0
    for run in reader.runs():
        if wanted.fits(reader, run):
            latest.append(run)
            count += 1
    return list(latest), count


def _as_dict(reader: SqliteReader, run: Run) -> dict[str, Any]:
    facts = reader.variant(run.taskset_id)
    names = (
        "run_id",
        "taskset_id",
        "board",
        "attempt",
        "variant",
        "started_at",
        "ended_at",
        "outcome",
        "reason",
    )
    return {
        **{name: getattr(run, name) for name in names},
        "events": run.events,
        "campaign_id": facts.campaign_id if facts else "",
        "parameters": dict(facts.parameters) if facts else {},
        "misses": reader.misses(run.run_id),
    }


def _named(reader: SqliteReader, part: str) -> Run:
    found = reader.matching_runs(part) if part.isprintable() else []
    try:
        run_id = resolve_id(part, {one.run_id: "run" for one in found})
    except SettingsError as error:
        raise SettingsError(f"--run: {error}") from error
    if run_id is None:
        raise SettingsError(f"--run: no run has id {part!r}; give one that `taskgen show` lists")
    return next(one for one in found if one.run_id == run_id)


def _show_runs(console: Console, reader: SqliteReader, runs: list[Run], count: int) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    rows = [_Shown(reader, one) for one in runs]
    shown = [
        column
        for column in _COLUMNS
        if console.width >= column.from_width
        and (column.name not in _LONG or any(column.text(row) for row in rows))
    ]
    for column in shown:
        is_long = column.name in _LONG
        overflow: OverflowMethod = "fold" if is_long else "ellipsis"
        table.add_column(column.name, justify=column.justify, no_wrap=not is_long, overflow=overflow)
    for row in rows:
        table.add_row(*(column.text(row) for column in shown))
    console.print(table)
    if count > len(runs):
        console.print(styled(f"{count - len(runs):,} earlier ones; --last N shows more", "dim"))
    elif not runs:
        console.print("no runs yet")


def _show_run(console: Console, reader: SqliteReader, run: Run, last: int | None) -> None:
    """The table has the last jobs; the chart all of them, or those that were asked for."""
    names = {int(task["id"]): str(task["pkg"]) for task in reader.tasks(run.run_id)}
    origin, jobs = _placed(list(reader.jobs(run.run_id)))
    _show_facts(console, run, _Shown(reader, run).parameters)
    if not jobs:
        console.print("no jobs")
        return
    shown = jobs[-(last or _JOBS) :]
    console.print(_jobs_table(shown, names))
    if len(jobs) > len(shown):
        console.print(styled(f"{len(jobs) - len(shown):,} earlier ones; --last N shows more", "dim"))
    console.print()
    console.print(styled(f"0 ms is {origin:,} ms after the board's boot", "dim"))
    strokes = Strokes() if console.encoding.lower().startswith("utf") else ASCII_STROKES
    for line in gantt(shown if last else jobs, names, 0, console.width, strokes):
        console.print(line)


def _placed(jobs: Sequence[JobRow]) -> tuple[int, list[JobRow]]:
    """The board's time at which the first job began, and the jobs in order, with times from there on.

    The clock may reach its end in between, and begin again.
    """
    origin = earliest_ms(list(map(_began, jobs))) or 0

    def passed_ms(time_ms: int | None) -> int | None:
        return None if time_ms is None else distance_ms(origin, time_ms)

    placed = (
        job._replace(release_ms=passed_ms(job.release_ms), end_ms=passed_ms(job.end_ms)) for job in jobs
    )
    return origin, sorted(placed, key=_began)


def _began(job: JobRow) -> int:
    """When it started, or at least ended; one of them is known."""
    return job.release_ms if job.release_ms is not None else job.end_ms or 0


def _show_facts(console: Console, run: Run, parameters: str) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("run", run.run_id)
    table.add_row("task-set", f"{run.taskset_id}, variant {run.variant}, attempt {run.attempt}")
    if parameters:
        table.add_row("parameters", printable(parameters))
    table.add_row("board", run.board)
    table.add_row("started", run.started_at)
    table.add_row("ended", run.ended_at or "not yet, or not stored")
    table.add_row("outcome", Text.assemble(_outcome(run), f" {printable(run.reason)}"))
    table.add_row("events", f"{run.events:,}" if run.outcome else "")
    console.print(table)
    console.print()


def _jobs_table(jobs: Iterable[JobRow], names: dict[int, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", no_wrap=True)
    for name in ("job", "release ms", "end ms", "response ms", "late ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("exit", no_wrap=True)
    for job in jobs:
        table.add_row(
            f"{job.task_id} {names.get(job.task_id, '')}",
            str(job.job),
            "" if job.release_ms is None else f"{job.release_ms:,}",
            "" if job.end_ms is None else f"{job.end_ms:,}",
            "" if job.response_ms is None else f"{job.response_ms:,}",
            _late(job),
            _exit(job.exit_type),
        )
    return table


def _late(job: JobRow) -> Text:
    """By how much a job missed its deadline; `miss` if it was killed, because the time is unknown."""
    if not job.is_miss:
        return Text()
    return styled(f"{job.tardiness_ms:,}" if job.tardiness_ms else "miss", "yellow")


def _exit(exit_type: str | None) -> Text:
    if exit_type is None:
        return styled("end not seen", "dim")
    return styled(exit_type, "" if exit_type == EventType.EXIT else "yellow")


def _outcome(run: Run) -> Text:
    if run.outcome is None:
        return styled("not ended", "dim")
    return styled(run.outcome, _STYLES.get(run.outcome, "red"))


def _seconds(run: Run) -> str:
    if not run.ended_at:
        return ""
    try:
        length = datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.started_at)
    except (ValueError, TypeError):  # a handler that is called by hand may write the times otherwise
        return "?"
    return f"{length.total_seconds():.1f}"


class _Shown(NamedTuple):
    """A run, and where more is known of it."""

    reader: SqliteReader
    run: Run

    @property
    def misses(self) -> Text:
        """Number of missed deadlines."""
        misses = self.reader.misses(self.run.run_id)
        if misses is None:
            return styled("incomplete" if self.run.outcome else "", "dim")
        return styled(f"{misses:,}", "yellow" if misses else "")

    @property
    def parameters(self) -> str:
        """Those that vary."""
        facts = self.reader.variant(self.run.taskset_id)
        return parameter_text(facts.parameters) if facts else ""


class _Column(NamedTuple):
    """One of the runs' table; left out where the terminal is narrow."""

    name: str
    from_width: int
    text: Callable[[_Shown], str | Text]
    justify: Literal["left", "right"] = "left"


_COLUMNS: Final = (
    _Column("run", 0, lambda one: one.run.run_id[-SHORT_ID:]),
    _Column("started (UTC)", 75, lambda one: one.run.started_at[:_TO_SECONDS].replace("T", " ")),
    _Column("board", 0, lambda one: one.run.board),
    _Column("variant", 0, lambda one: str(one.run.variant), "right"),
    _Column("attempt", 100, lambda one: str(one.run.attempt), "right"),
    _Column("events", 90, lambda one: f"{one.run.events:,}" if one.run.outcome else "", "right"),
    _Column("misses", 75, lambda one: one.misses, "right"),
    _Column("seconds", 100, lambda one: _seconds(one.run), "right"),
    _Column("outcome", 0, lambda one: _outcome(one.run)),
    _Column("parameters", 120, lambda one: one.parameters),
    _Column("reason", 110, lambda one: one.run.reason),
    _Column("id", 180, lambda one: one.run.run_id),
)
