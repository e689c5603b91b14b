"""`taskgen compare`: two campaigns, or one with the simulated schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from taskgen.cli.report import Campaign, Store, Where
from taskgen.cli.terminal import counted, result_console, styled
from taskgen.errors import SettingsError

if TYPE_CHECKING:
    from taskgen.results.compare import Difference
    from taskgen.results.statistics import TaskStatistics


def compare(
    store: Store,
    other: Annotated[
        str, typer.Argument(metavar="[OTHER]", help="The second store. Default: the same one.")
    ] = "",
    *,
    campaign: Campaign = "",
    other_campaign: Annotated[
        str, typer.Option(metavar="NAME", help="Name or id of the campaign to compare with.")
    ] = "",
    where: Where = None,
    with_simulator: Annotated[
        bool, typer.Option("--with-simulator", metavar="", help="Compare each run with its simulation.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the simulated run times.")] = 0,
    cores: Annotated[int, typer.Option(metavar="N", help="Cores of the simulated board.", min=1)] = 2,
) -> None:
    """Compare two campaigns, or one with the simulated schedule.

    For each task: medians of the response time, the p-value of a Mann-Whitney U test, Cliff's delta as effect
    size, and misses. Only complete runs are compared.
    """
    console = result_console()
    if with_simulator:
        _with_simulator(console, store, campaign, where or [], seed, cores)
        return
    if not other and not other_campaign:
        raise SettingsError("give a second store, --other-campaign or --with-simulator to compare with")
    from taskgen.results.compare import differences  # noqa: PLC0415 - takes half a second

    a, b = _statistics(store, campaign, where or []), _statistics(other or store, other_campaign, where or [])
    found, alone = differences(a, b)
    _show(console, found)
    if alone:
        console.print(styled(f"only in one of them, or without responses: {'; '.join(alone)}", "yellow"))


def _statistics(store: str, campaign: str, where: list[str]) -> list[TaskStatistics]:
    from taskgen.results.dataset import open_dataset  # noqa: PLC0415 - takes half a second
    from taskgen.results.statistics import task_statistics  # noqa: PLC0415 - as above

    with open_dataset(store, campaign, where) as dataset:
        return task_statistics(dataset)


def _show(console: Console, found: list[Difference]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("variant", overflow="fold")
    table.add_column("task", no_wrap=True)
    for name in ("jobs", "median ms", "p", "effect", "misses"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        table.add_row(
            one.variant,
            f"{one.task_id} {one.pkg}",
            f"{one.jobs_a:,} → {one.jobs_b:,}",
            f"{one.median_a_ms:g} → {one.median_b_ms:g}",
            f"{one.p_value:.2g}",
            f"{one.effect:+.2f}",
            f"{one.misses_a} → {one.misses_b}",
        )
    console.print(table)
    won = sum(max(0, one.misses_a - one.misses_b) for one in found)
    lost = sum(max(0, one.misses_b - one.misses_a) for one in found)
    console.print()
    console.print(f"{counted(won, 'miss', 'misses')} fewer, {counted(lost, 'miss', 'misses')} more")


def _with_simulator(
    console: Console, store: str, campaign: str, where: list[str], seed: int, cores: int
) -> None:
    from taskgen.results.compare import divergences  # noqa: PLC0415 - takes half a second
    from taskgen.results.dataset import open_dataset  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", no_wrap=True)
    table.add_column("variant", overflow="fold")
    table.add_column("agree", justify="right", no_wrap=True)
    table.add_column("first difference", overflow="fold")
    jobs = agreeing = 0
    with open_dataset(store, campaign, where) as dataset:
        for one in divergences(dataset, seed, cores):
            jobs, agreeing = jobs + one.jobs, agreeing + one.agreeing
            shares = f"{one.agreeing:,} of {one.jobs:,}"
            table.add_row(one.run.run.run_id[-8:], one.run.name, shares, one.first or "none")
    console.print(table)
    console.print()
    console.print(f"{agreeing:,} of {counted(jobs, 'job')} as simulated, to within 1 ms")
