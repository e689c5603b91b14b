"""A report as one self-contained HTML page, which needs neither network nor scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from taskgen.errors import SettingsError
from taskgen.results.dataset import Dataset, RunResult
from taskgen.results.figures import svg
from taskgen.results.statistics import TaskStatistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MOST_ROWS: Final = 100
"""Rows of the table that are open; a browser takes seconds to lay out 10,000."""


def page(
    dataset: Dataset,
    statistics: Sequence[TaskStatistics],
    drawn: Iterable[tuple[str, str, Figure]],
) -> str:
    """Return the page.

    Args:
        dataset: the runs.
        statistics: of all tasks.
        drawn: the figures, as `taskgen.results.figures` draws them.

    Raises:
        SettingsError: Jinja is not installed.
    """
    try:
        from jinja2 import Environment  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for HTML pages, install taskgen-events[report]") from error
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        store=dataset.name,
        campaigns=dataset.campaigns,
        runs=dataset.runs,
        counted=len(dataset.complete),
        outcomes=outcomes(dataset.runs),
        statistics=statistics,
        most_rows=_MOST_ROWS,
        worst=sorted(statistics, key=lambda one: -one.misses)[:_MOST_ROWS],
        jobs=sum(one.jobs for one in statistics),
        misses=sum(one.misses for one in statistics),
        unknown=sum(one.unknown for one in statistics),
        skipped=sum(one.skipped_releases for one in statistics),
        figures=[(title, svg(figure)) for _, title, figure in drawn],
        failed=[one for one in dataset.runs if one.run.reason or not one.is_complete],
        binaries=sorted({pair for one in dataset.runs for pair in one.binaries.items()}),
    )


def outcomes(runs: Iterable[RunResult]) -> dict[str, int]:
    """Number of runs by outcome."""
    counts: dict[str, int] = {}
    for one in runs:
        outcome: Any = one.run.outcome.value if one.run.outcome else "not ended"
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
