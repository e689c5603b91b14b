"""`taskgen compare`: compare two campaigns, or one with the simulated schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from taskgen.cli.report import Store, Where
from taskgen.cli.task_table import print_tasks
from taskgen.cli.terminal import counted, result_console, styled
from taskgen.errors import SettingsError

if TYPE_CHECKING:
    from taskgen.results.compare import Comparison, Difference, Divergence
    from taskgen.results.statistics import TaskStatistics

_COLUMNS: Final = ("variant", "task", "completed", "median ms", "p", "effect", "misses")
_MOST_LINES: Final = 10
"""Lines of what only one campaign has; more are counted."""


def compare(
    store: Store,
    other: Annotated[
        str, typer.Argument(metavar="[OTHER]", help="The second store. Default: the same store.")
    ] = "",
    *,
    campaign: Annotated[
        str,
        typer.Option(metavar="NAME", help="Name or id. Default: the only campaign; for the simulator, all."),
    ] = "",
    other_campaign: Annotated[
        str, typer.Option(metavar="NAME", help="The campaign to compare with. Default: the only one.")
    ] = "",
    where: Where = None,
    with_simulator: Annotated[
        bool, typer.Option("--with-simulator", metavar="", help="Compare each run with its simulation.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the simulated run times.")] = 0,
    cores: Annotated[int, typer.Option(metavar="N", help="Cores of the simulated board.", min=1)] = 2,
) -> None:
    """Compare two campaigns, or one with the simulated schedule.

    For each task: median response times, the p-value of a Mann-Whitney U test, Cliff's delta as effect size,
    and misses out of the jobs known to be hits or misses. Only complete runs are compared.
    """
    console = result_console()
    if with_simulator:
        _with_simulator(console, store, campaign, where or [], seed, cores)
        return
    if not other and not other_campaign:
        raise SettingsError("give a second store, --other-campaign or --with-simulator to compare with")
    from taskgen.results.compare import compared  # noqa: PLC0415 - takes half a second

    conditions = where or []
    b, besides = _statistics(other or store, other_campaign, conditions, "--other-campaign")
    leave_out = None if campaign or other else besides  # the other side is not compared with itself
    a, _ = _statistics(store, campaign, conditions, "--campaign", leave_out)
    _show(console, compared(a, b))


def _statistics(
    store: str, campaign: str, where: list[str], option: str, besides: str | None = None
) -> tuple[list[TaskStatistics], str | None]:
    """The statistics of one campaign, and its id; None if there are no runs."""
    from taskgen.results.dataset import open_dataset  # noqa: PLC0415 - takes half a second
    from taskgen.results.one_campaign import of_one_campaign  # noqa: PLC0415 - as above
    from taskgen.results.statistics import task_statistics  # noqa: PLC0415 - as above

    with open_dataset(store, campaign, where) as dataset:
        chosen = of_one_campaign(dataset, option, besides)
        campaign_id = next((one.variant.campaign_id for one in chosen.runs), None)
        return task_statistics(chosen), campaign_id


def _show(console: Console, found: Comparison) -> None:
    print_tasks(console, _COLUMNS, [_cells(one) for one in found.differences])
    console.print()
    for line in _sums(found):
        console.print(line)
    changed = dict.fromkeys(change for one in found.differences for change in one.changed)
    _print_few(console, "parameters that differ:", list(changed))
    _print_few(console, "only in the first campaign:", list(map(_named, found.only_a)))
    _print_few(console, "only in the second campaign:", list(map(_named, found.only_b)))


def _cells(one: Difference) -> tuple[str, ...]:
    a, b = one.a, one.b
    return (
        b.distinct_variant if one.changed else a.distinct_variant,
        f"{a.task_id} {a.pkg}" + ("" if a.pkg == b.pkg else f" → {b.pkg}"),
        f"{len(a.responses_ms):,} → {len(b.responses_ms):,}",
        f"{_median(a)} → {_median(b)}" if a.responses_ms and b.responses_ms else "",
        "" if one.p_value is None else f"{one.p_value:.2g}",
        "" if one.effect is None else f"{one.effect:+.2f}",
        f"{a.misses:,} of {a.judged:,} → {b.misses:,} of {b.judged:,}",
    )


def _median(one: TaskStatistics) -> str:
    return f"{one.median_ms or 0.0:,g}"


def _sums(found: Comparison) -> list[str]:
    """The sums of the tasks that both campaigns have."""
    a, b = [one.a for one in found.differences], [one.b for one in found.differences]
    lines = [f"misses: {_ratio(a)} → {_ratio(b)}"]
    if found.has_equal_jobs:
        won = sum(max(0, one.a.misses - one.b.misses) for one in found.differences)
        lost = sum(max(0, one.b.misses - one.a.misses) for one in found.differences)
        lines.append(f"{counted(won, 'miss', 'misses')} fewer, {counted(lost, 'miss', 'misses')} more")
    else:
        lines.append(
            "the numbers of jobs differ, so compare the ratios: no sum of misses won and lost is right"
        )
    unknown = sum(one.unknown for one in a), sum(one.unknown for one in b)
    if any(unknown):
        lines.append(f"unknown whether they are misses: {unknown[0]:,} → {counted(unknown[1], 'job')}")
    return lines


def _ratio(statistics: Sequence[TaskStatistics]) -> str:
    misses, jobs = sum(one.misses for one in statistics), sum(one.judged for one in statistics)
    return f"{misses:,} of {counted(jobs, 'job')}" + (f" ({100 * misses / jobs:.3g} %)" if jobs else "")


def _named(one: TaskStatistics) -> str:
    missed = f"{one.misses:,} of {counted(one.judged, 'job')} missed"
    return f"{one.distinct_variant}, task {one.task_id} {one.pkg}: {missed}"


def _print_few(console: Console, title: str, lines: Sequence[str]) -> None:
    """Print a line each, the first few of them."""
    if not lines:
        return
    console.print(styled(title, "yellow"))
    for line in lines[:_MOST_LINES]:
        console.print(f"  {line}")
    if len(lines) > _MOST_LINES:
        console.print(f"  and {len(lines) - _MOST_LINES:,} more")


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
    with open_dataset(store, campaign, where) as dataset:
        found = list(divergences(dataset, seed, cores))
    for one in found:
        shares = f"{one.agreeing:,} of {one.jobs:,}"
        table.add_row(one.run.run.run_id[-8:], one.run.name, shares, one.first or "none")
    console.print(table)
    console.print()
    console.print(_agreement(found))


def _agreement(found: Sequence[Divergence]) -> str:
    jobs, agreeing = sum(one.jobs for one in found), sum(one.agreeing for one in found)
    line = (
        f"{agreeing:,} of {counted(jobs, 'job')} as simulated: releases to within 2 ms, response times 1 ms"
    )
    alone = sum(one.only_run for one in found), sum(one.only_simulated for one in found)
    return line + (f"; {alone[0]:,} only in the runs, {alone[1]:,} only simulated" if any(alone) else "")
