"""`taskgen report`: response times and misses of a campaign, in the terminal, as a page, and for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from taskgen.cli.terminal import counted, result_console, styled

if TYPE_CHECKING:
    from taskgen.results.dataset import Dataset, RunResult
    from taskgen.results.statistics import TaskStatistics

_SCHEDULES: Final = 3
_WIDE: Final = 110
_MOST_ROWS: Final = 100
"""Rows of the table in the terminal, which takes a second to print 1,000."""

Store = Annotated[
    str,
    typer.Argument(metavar="STORE", help="sqlite:PATH, csv:PATH, postgresql://... or a file's path."),
]
Campaign = Annotated[
    str, typer.Option(metavar="NAME", help="Name or id of a campaign. Default: all runs of the store.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Only runs with this parameter, outcome or board; repeatable."),
]


def report(
    store: Store,
    *,
    campaign: Campaign = "",
    where: Where = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="Run whose schedule to draw. Default: those with most misses. Can be repeated.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one page that can be read offline.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each figure as PDF and as SVG.")
    ] = None,
    latex: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table for LaTeX.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")] = None,
) -> None:
    """Show response times, misses and jitter of every task.

    Each variant is shown by itself. Runs that are incomplete, or that ended by a fault of the lab, are
    counted but in no statistics.
    """
    from taskgen.results.dataset import open_dataset  # noqa: PLC0415 - takes half a second
    from taskgen.results.statistics import task_statistics  # noqa: PLC0415 - as above

    console = result_console()
    with open_dataset(store, campaign, where or ()) as dataset:
        statistics = task_statistics(dataset)
        runs = _scheduled(dataset, schedule or [])
        _write(dataset, statistics, runs, html, figures)
        _write_tables(statistics, latex, csv)
        show_report(console, dataset, statistics)
    for written in (html, figures, latex, csv):
        if written is not None:
            typer.echo(f"wrote {written}", err=True)


def _scheduled(dataset: Dataset, wanted: Sequence[str]) -> list[RunResult]:
    """The runs whose schedules are drawn."""
    from taskgen.errors import SettingsError  # noqa: PLC0415 - beside the function's only use
    from taskgen.results.statistics import most_missed  # noqa: PLC0415 - takes half a second
    from taskgen.run import resolve_id  # noqa: PLC0415 - as above

    by_id = {one.run.run_id: one for one in dataset.runs}
    if not wanted:
        return most_missed(dataset, _SCHEDULES)
    found = []
    for part in wanted:
        run_id = resolve_id(part, dict.fromkeys(by_id, "run"))
        if run_id is None:
            raise SettingsError(f"--schedule: no run has id {part!r}; give one that the report lists")
        found.append(by_id[run_id])
    return found


def _write(
    dataset: Dataset,
    statistics: Sequence[TaskStatistics],
    runs: Sequence[RunResult],
    html: Path | None,
    folder: Path | None,
) -> None:
    """Write what needs figures."""
    if html is None and folder is None:
        return
    from taskgen.results.figures import figures, save  # noqa: PLC0415 - an extra
    from taskgen.results.page import page  # noqa: PLC0415 - an extra
    from taskgen.results.tables import unwritable  # noqa: PLC0415 - as above

    drawn = list(figures(dataset, statistics, runs))
    if folder is not None:
        for name, _, figure in drawn:
            save(figure, folder, name)
    if html is not None:
        try:
            html.write_text(page(dataset, statistics, drawn), encoding="utf-8")
        except OSError as error:
            raise unwritable(html, error) from error


def _write_tables(statistics: Sequence[TaskStatistics], latex: Path | None, csv: Path | None) -> None:
    from taskgen.results.tables import write_csv, write_latex  # noqa: PLC0415 - only if asked for

    if latex is not None:
        write_latex(latex, statistics)
    if csv is not None:
        write_csv(csv, statistics)


def show_report(console: Console, dataset: Dataset, statistics: Sequence[TaskStatistics]) -> None:
    """Print the table, and what it leaves out."""
    for one in dataset.campaigns:
        name = one.name or one.campaign_id
        console.print(
            f"campaign {name}, {one.started_at[:19].replace('T', ' ')} UTC, {one.user_name}@{one.host}"
        )
    left_out = len(dataset.runs) - len(dataset.complete)
    console.print(f"{counted(len(dataset.complete), 'run')} in the statistics")
    if left_out:
        console.print(
            styled(f"{counted(left_out, 'run')} left out: incomplete, or a fault of the lab", "yellow")
        )
    console.print()
    is_wide = console.width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("variant", overflow="fold")
    table.add_column("task", no_wrap=True)
    numbers = ("runs", "jobs", "misses", "skipped", "min", "median", "p95", "p99", "max ms", "jitter")
    shown = numbers if is_wide else ("jobs", "misses", "median", "p99", "max ms")
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    before = None
    most_missed = sorted(statistics, key=lambda one: -one.misses)[:_MOST_ROWS]
    for task in statistics if len(statistics) <= _MOST_ROWS else most_missed:
        cells = dict(zip(numbers, _cells(task), strict=True))
        name = "" if task.variant == before else task.variant
        before = task.variant
        table.add_row(name, f"{task.task_id} {task.pkg}", *(cells[column] for column in shown))
    console.print(table)
    if len(statistics) > _MOST_ROWS:
        console.print(
            f"\nthe {_MOST_ROWS} with the most misses of {len(statistics):,}; --csv FILE has all of them"
        )


def _cells(one: TaskStatistics) -> tuple[str, ...]:
    quantiles = (one.quantile_ms(percent) for percent in (0, 95, 99, 100))
    least, p95, p99, most = ("" if value is None else f"{value:,}" for value in quantiles)
    median = "" if one.median_ms is None else f"{one.median_ms:,g}"
    jitter = "" if one.jitter_ms is None else f"{one.jitter_ms:,}"
    counts = (f"{number:,}" for number in (one.runs, one.jobs, one.misses, one.skipped_releases))
    return (*counts, least, median, p95, p99, most, jitter)
