"""`taskgen export`: write results for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from taskgen.cli.report import Campaign, Store, Where
from taskgen.cli.terminal import counted


class What(StrEnum):
    """What can be exported."""

    JOBS = "jobs"
    RUNS = "runs"
    TASKS = "tasks"
    VARIANTS = "variants"
    CAMPAIGNS = "campaigns"


def export(
    store: Store,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="File to write: *.csv, *.parquet or *.pftrace."),
    ],
    *,
    what: Annotated[What, typer.Option(help="What to write, one row for each.")] = What.JOBS,
    campaign: Campaign = "",
    where: Where = None,
) -> None:
    """Write results as Parquet or CSV, or as a Perfetto trace.

    Jobs are those of the runs that a report counts; docs/time.md defines their columns. A trace shows the
    schedules of runs in https://ui.perfetto.dev.
    """
    from taskgen.results.dataset import open_dataset  # noqa: PLC0415 - takes half a second
    from taskgen.results.export import export as write  # noqa: PLC0415 - as above
    from taskgen.results.output import check_output  # noqa: PLC0415 - as above

    check_output(output)
    with open_dataset(store, campaign, where or ()) as dataset:
        count = write(dataset, what.value, output)
        left_out = len(dataset.runs) - len(dataset.complete) if what is What.JOBS else 0
    typer.echo(f"{counted(count, what.value[:-1])} written to {output}", err=True)
    if left_out:
        typer.echo(f"{counted(left_out, 'run')} left out: incomplete, or a fault of the lab", err=True)
