"""`taskgen report`: response times and misses of a campaign, in the terminal, as a page, and for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from taskgen.cli.task_table import print_tasks
from taskgen.cli.terminal import counted, result_console, styled
from taskgen.errors import SettingsError

if TYPE_CHECKING:
    from taskgen.results.dataset import Dataset, RunResult
    from taskgen.results.statistics import TaskStatistics

_SCHEDULES: Final = 3
_WIDE: Final = 110
_COLUMNS: Final = (
    "runs", "jobs", "misses", "unknown", "skipped", "min", "median", "p95", "p99", "max ms", "jitter",
)  # fmt: skip
_FEW_COLUMNS: Final = ("jobs", "misses", "unknown", "median", "p99", "max ms")
"""Where there is little room."""
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
    typer.Option(
        metavar="NAME=VALUE", help="Only runs with this parameter, outcome or board. Can be repeated."
    ),
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
            help="Draw the schedule of this run. Default: the runs with the most misses. Can be repeated.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a single HTML page, readable offline.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each figure as PDF and SVG.")
    ] = None,
    latex: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table for LaTeX.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")] = None,
) -> None:
    """Show response times, misses and jitter of every task.

    Each variant is shown separately. Runs that are incomplete, or that ended by a fault of the lab, are
    counted but excluded from the statistics.
    """
    from taskgen.results.dataset import open_dataset  # noqa: PLC0415 - takes half a second
    from taskgen.results.output import check_output  # noqa: PLC0415 - as above
    from taskgen.results.statistics import task_statistics  # noqa: PLC0415 - as above

    if schedule and html is None and figures is None:
        raise SettingsError("--schedule draws into --html FILE or --figures DIR; give one of them")
    for output in (html, latex, csv):
        if output is not None:
            check_output(output)
    console = result_console()
    with open_dataset(store, campaign, where or ()) as dataset:
        statistics = task_statistics(dataset)
        if html is not None or figures is not None:
            _write(dataset, statistics, _scheduled(dataset, schedule or []), html, figures)
        _write_tables(statistics, latex, csv)
        show_report(console, dataset, statistics)
    for written in (html, figures, latex, csv):
        if written is not None:
            typer.echo(f"wrote {written}", err=True)


def _scheduled(dataset: Dataset, wanted: Sequence[str]) -> list[RunResult]:
    """The runs whose schedules are drawn."""
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
    from taskgen.results.figures import figures, save  # noqa: PLC0415 - an extra
    from taskgen.results.output import new_output  # noqa: PLC0415 - as above
    from taskgen.results.page import page  # noqa: PLC0415 - an extra

    drawn = list(figures(dataset, statistics, runs))
    if folder is not None:
        for name, _, figure in drawn:
            save(figure, folder, name)
    if html is not None:
        with new_output(html) as part:
            part.write_text(page(dataset, statistics, drawn), encoding="utf-8")


def _write_tables(statistics: Sequence[TaskStatistics], latex: Path | None, csv: Path | None) -> None:
    from taskgen.results.tables import write_csv, write_latex  # noqa: PLC0415 - only if asked for

    if latex is not None:
        write_latex(latex, statistics)
    if csv is not None:
        write_csv(csv, statistics)


def show_report(console: Console, dataset: Dataset, statistics: Sequence[TaskStatistics]) -> None:
    """Print the table, and the number of runs that it leaves out."""
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
    most_missed = sorted(statistics, key=lambda one: -one.misses)[:_MOST_ROWS]
    _show_table(console, statistics if len(statistics) <= _MOST_ROWS else most_missed)
    if len(statistics) > _MOST_ROWS:
        console.print()
        console.print(
            f"the {_MOST_ROWS} with the most misses of {len(statistics):,}; --csv FILE has all of them"
        )
    if unknown := sum(one.unknown for one in statistics):
        console.print()
        line = f"{counted(unknown, 'job')} with unknown misses: no release or no end was seen"
        console.print(styled(line, "yellow"))


def _show_table(console: Console, statistics: Sequence[TaskStatistics]) -> None:
    has_unknown = any(one.unknown for one in statistics)
    columns = _COLUMNS if console.width >= _WIDE else _FEW_COLUMNS
    shown = [name for name in columns if has_unknown or name != "unknown"]
    rows = []
    for one in statistics:
        cells = _cells(one)
        rows.append((one.name, f"{one.task_id} {one.pkg}", *(cells[name] for name in shown)))
    print_tasks(console, ("variant", "task", *shown), rows)


def _cells(one: TaskStatistics) -> dict[str, str]:
    quantiles = (one.quantile_ms(percent) for percent in (0, 95, 99, 100))
    least, p95, p99, most = ("" if value is None else f"{value:,}" for value in quantiles)
    median = "" if one.median_ms is None else f"{one.median_ms:,g}"
    jitter = "" if one.jitter_ms is None else f"{one.jitter_ms:,}"
    numbers = (one.runs, one.jobs, one.misses, one.unknown, one.skipped_releases)
    counts = (f"{number:,}" for number in numbers)
    return dict(zip(_COLUMNS, (*counts, least, median, p95, p99, most, jitter), strict=True))
