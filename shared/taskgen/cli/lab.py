"""A lab on the screen: boards, runs, campaigns and queues as tables."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from taskgen.cli.terminal import result_console, styled
from taskgen.execution.board import BoardState
from taskgen.untrusted_text import brief

if TYPE_CHECKING:
    from taskgen.client.lab_report import LabReport

_LATEST_CAMPAIGNS: Final = 5
_COLORS: Final = {BoardState.LOST: "red", BoardState.RUNNING: "green", BoardState.LEASED_ELSEWHERE: "yellow"}


class Screen:
    """Shows reports: once, in place again and again, or as JSON lines."""

    def __init__(self, *, as_json: bool, is_watching: bool) -> None:
        self._console = result_console()
        self._as_json = as_json
        is_live = is_watching and not as_json and self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, screen=True) if is_live else None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._stack.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def show(self, report: LabReport) -> None:
        """Show a report."""
        if self._as_json:
            typer.echo(json.dumps(report.model_dump(mode="json")))  # ASCII alone, whatever is in it
        elif self._live is not None:
            self._live.update(tables(report), refresh=True)
        else:
            self._console.print(tables(report))


def tables(report: LabReport) -> RenderableType:
    """A report as people read it."""
    controller = brief(report.controller) if report.controller else styled("none is active", "red")
    lines = [Text.assemble("controller: ", controller)]
    if not report.distributors:
        lines.append(Text.assemble("distributors: ", ("none", "red")))
    runs = ", ".join(f"{number:,} {name}" for name, number in sorted(report.runs.items())) or "none"
    counts = (f"runs: {runs}", f"bad task-sets: {report.bad:,}")
    notes = []
    if report.held_unknown:
        notes.append(f"held, delivered but not acknowledged, is unknown: {brief(report.held_unknown)}")
    return Group(*lines, *counts, _boards(report), _campaigns(report), _queues(report), *notes)


def _boards(report: LabReport) -> Table:
    table = Table("board", "state", "since", "run", "distributor", title="boards", title_justify="left")
    for line in report.boards:
        board = line.report
        color = _COLORS.get(board.state, "default")
        what = board.run_id or board.reason
        state = styled(board.state.replace("_", " "), color)
        table.add_row(brief(board.name), state, age(board.since), brief(what), brief(line.distributor))
    return table


def _campaigns(report: LabReport) -> Table:
    table = Table(
        "campaign", "running", "put back", "done", "of them", title="campaigns", title_justify="left"
    )
    unfinished = [one for one in report.campaigns if one.running or one.waiting]
    latest = [one for one in report.campaigns[-_LATEST_CAMPAIGNS:] if one not in unfinished]
    for one in (*latest, *unfinished):
        kinds = {outcome.value: number for outcome, number in one.outcomes.items()}
        kinds |= {"bad": one.bad, "called off": one.called_off}
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
        table.add_row(
            brief(one.campaign_id or "none"),
            f"{one.running:,}",
            f"{one.waiting:,}",
            f"{one.done:,}",
            told,
        )
    return table


def _queues(report: LabReport) -> Table:
    table = Table(title="queues", title_justify="left")
    table.add_column("queue", overflow="fold")  # whole, as other commands ask for it
    for column in ("ready", "held", "consumers", "parked"):
        table.add_column(column, justify="right", no_wrap=True)
    for queue in report.queues:
        held = "?" if queue.held is None else f"{queue.held:,}"
        # Task-sets are asked for one by one: no consumer, and nothing is wrong.
        consumers = styled("none", "red") if queue.lacks_consumer else str(queue.consumers or "-")
        parked = styled(f"{queue.parked:,}", "red") if queue.parked else "0"
        table.add_row(queue.name, f"{queue.ready:,}", held, consumers, parked)
    return table


def age(since: str) -> str:
    """How long ago a time of the services' hosts was, in its two largest units; what is no time as it is."""
    try:
        passed = datetime.now(UTC) - datetime.fromisoformat(since)
    except (ValueError, TypeError, OverflowError):
        return brief(since)
    seconds = max(0, int(passed.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((index for index, (number, _) in enumerate(units) if number), len(units) - 1)
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2])
