"""A lab on the screen: boards, runs, campaigns and queues as tables."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from taskgen.cli.show import SHORT_ID
from taskgen.cli.terminal import result_console, styled
from taskgen.execution.board import BoardState
from taskgen.untrusted_text import brief

if TYPE_CHECKING:
    from taskgen.client.lab_report import LabReport

_LATEST_CAMPAIGNS: Final = 5
_WHOLE_IDS_FROM_WIDTH: Final = 120
_STALE_AFTER_S: Final = 5
"""Services report every 2 s."""
_COLORS: Final = {BoardState.LOST: "red", BoardState.RUNNING: "green", BoardState.LEASED_ELSEWHERE: "yellow"}


class Screen:
    """Shows reports: once, refreshed in place, or as JSON lines."""

    def __init__(self, *, as_json: bool, is_watching: bool) -> None:
        self._console = result_console()
        self._as_json = as_json
        is_live = is_watching and not as_json and self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, screen=True) if is_live else None
        self.area: AbstractContextManager[object] = self._live or nullcontext()
        """To be open while reports are shown."""
        self._latest: LabReport | None = None
        self._latest_s = 0.0
        self._marked_s = 0

    def show(self, report: LabReport) -> None:
        """Show a report."""
        self._latest, self._latest_s, self._marked_s = report, time.monotonic(), 0
        if self._as_json:
            typer.echo(json.dumps(report.model_dump(mode="json")))  # always ASCII
        elif self._live is not None:
            self._live.update(self._tables(report), refresh=True)
        else:
            self._console.print(self._tables(report))

    def mark_stale(self) -> None:
        """Say how old the shown report is, if the broker has sent nothing newer for a while."""
        age_s = int(time.monotonic() - self._latest_s)
        if self._latest is None or self._live is None or age_s < _STALE_AFTER_S or age_s == self._marked_s:
            return
        self._marked_s = age_s
        title = styled(f"no news from the broker; this is {_duration(age_s)} old", "bold yellow")
        self._live.update(Panel(self._tables(self._latest), title=title, style="dim"), refresh=True)

    def _tables(self, report: LabReport) -> RenderableType:
        return tables(report, has_short_ids=self._console.width < _WHOLE_IDS_FROM_WIDTH)


def tables(report: LabReport, *, has_short_ids: bool) -> RenderableType:
    """Format a report for people; ids are shortened to their ends, which every command accepts."""
    characters = SHORT_ID if has_short_ids else 0  # text[-0:] is all of it
    controller = brief(report.controller) if report.controller else styled("none active", "red")
    lines = [Text.assemble("controller: ", controller)]
    if not report.distributors:
        lines.append(Text.assemble("distributors: ", ("none", "red")))
    runs = ", ".join(f"{number:,} {name}" for name, number in sorted(report.runs.items())) or "none"
    counts = (f"runs: {runs}", f"failed task-sets: {report.bad:,}")
    notes = []
    if report.held_unknown:
        notes.append(f"held (delivered, not acknowledged) is unknown: {brief(report.held_unknown)}")
    boards, campaigns = _boards(report, characters), _campaigns(report, characters)
    return Group(*lines, *counts, boards, campaigns, _queues(report), *notes)


def _boards(report: LabReport, id_characters: int) -> Table:
    table = Table("board", "state", "since", "run", "distributor", title="boards", title_justify="left")
    for line in report.boards:
        board = line.report
        color = _COLORS.get(board.state, "default")
        what = board.run_id[-id_characters:] or board.reason
        state = styled(board.state.replace("_", " "), color)
        is_stale = line.silent_s > _STALE_AFTER_S
        if is_stale:  # its distributor has missed more than one report
            state = styled(f"{state.plain}, {line.silent_s:.0f} s ago", "yellow")
        cells = (brief(board.name), state, age(board.since), brief(what), brief(line.distributor))
        table.add_row(*cells, style="dim" if is_stale else None)
    return table


def _campaigns(report: LabReport, id_characters: int) -> Table:
    table = Table(
        "campaign", "running", "requeued", "done", "results", title="campaigns", title_justify="left"
    )
    unfinished = [one for one in report.campaigns if one.running or one.waiting]
    latest = [one for one in report.campaigns[-_LATEST_CAMPAIGNS:] if one not in unfinished]
    for one in (*latest, *unfinished):
        kinds = {outcome.value: number for outcome, number in one.outcomes.items()}
        kinds |= {"failed": one.bad, "cancelled": one.called_off}
        results = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
        table.add_row(
            brief(one.campaign_id[-id_characters:] or "none"),
            f"{one.running:,}",
            f"{one.waiting:,}",
            f"{one.done:,}",
            results,
        )
    return table


def _queues(report: LabReport) -> Table:
    table = Table(title="queues", title_justify="left")
    table.add_column("queue", overflow="fold")  # in full, because other commands need it
    for column in ("ready", "held", "consumers", "dead letters"):
        table.add_column(column, justify="right", no_wrap=True)
    for queue in report.queues:
        held = "?" if queue.held is None else f"{queue.held:,}"
        # Distributors fetch task-sets one by one, so a queue without a consumer may be all right.
        consumers = styled("none", "red") if queue.lacks_consumer else str(queue.consumers or "-")
        parked = styled(f"{queue.parked:,}", "red") if queue.parked else "0"
        table.add_row(queue.name, f"{queue.ready:,}", held, consumers, parked)
    return table


def age(since: str) -> str:
    """How long ago a time on the services' hosts was; other text is returned unchanged."""
    try:
        passed = datetime.now(UTC) - datetime.fromisoformat(since)
    except (ValueError, TypeError, OverflowError):
        return brief(since)
    return _duration(max(0, int(passed.total_seconds())))


def _duration(seconds: int) -> str:
    """In the two largest units."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((index for index, (number, _) in enumerate(units) if number), len(units) - 1)
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2])
