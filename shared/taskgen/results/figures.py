"""The figures of a report: distributions of response times, miss ratios, and schedules."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from taskgen.errors import SettingsError
from taskgen.event_type import EventType
from taskgen.metrics import JobRow, distance_ms, earliest_ms
from taskgen.results.dataset import Dataset, RunResult
from taskgen.results.output import new_output
from taskgen.results.statistics import TaskStatistics, Varied, varied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LINES: Final = 10
"""Variants in one figure; more cannot be told apart."""
_MOST_JOBS: Final = 60
"""Jobs of a task in a schedule."""
_MOST_BINS: Final = 40
_UPRIGHT_LABELS: Final = 6
_MOST_BARS: Final = 30
_BAR: Final = "#00796b"
_MISS: Final = "#c62828"
_CUT_OFF: Final = "#90a4ae"


def figures(
    dataset: Dataset, statistics: Sequence[TaskStatistics], runs: Sequence[RunResult]
) -> Iterator[tuple[str, str, Figure]]:
    """Draw all figures: a name for its file, a title, and the figure.

    Args:
        dataset: has the jobs.
        statistics: of all tasks.
        runs: whose schedules are drawn.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for figures, install taskgen-events[report]") from error
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports each glyph of a PDF
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "taskgen", "pdf.fonttype": 42, "font.size": 9}
    yield from _distributions([one for one in statistics if one.responses_ms])
    yield from _all_miss_ratios(list(varied(statistics)))
    for run in runs:
        title = f"Schedule of {run.name}, run {run.run.run_id[-8:]} on {run.run.board}{_left_out(run)}"
        yield f"schedule-{run.run.run_id[-8:]}", title, _schedule(list(dataset.jobs(run)), run)


def _left_out(run: RunResult) -> str:
    """Why a run is in no statistics; empty if it is."""
    if not run.is_complete:
        return ", incomplete"
    outcome = run.run.outcome
    return "" if outcome is None or outcome.is_result else f", {outcome.value}"


def _distributions(statistics: Sequence[TaskStatistics]) -> Iterator[tuple[str, str, Figure]]:
    """One figure for each task, and for each binary where there were several."""
    by_task: dict[int, dict[str, list[TaskStatistics]]] = {}
    for one in statistics:
        by_task.setdefault(one.task_id, {}).setdefault(one.pkg, []).append(one)
    for task_id, by_pkg in sorted(by_task.items()):
        for pkg, of_task in by_pkg.items():
            title = f"Response times of task {task_id}" + (f" ({pkg})" if pkg else "")
            if len(of_task) > _MOST_LINES:
                title += f"; distributions of the {_MOST_LINES} variants with the highest miss ratio"
            if (count := len({one.origin for one in of_task})) > 1:
                title += f"; the histogram is over {count} campaigns or files together"
            suffix = f"-{pkg}" if len(by_pkg) > 1 else ""
            yield f"response-task{task_id}{suffix}", title, _distribution(of_task)


def _all_miss_ratios(found: Sequence[Varied]) -> Iterator[tuple[str, str, Figure]]:
    """One figure for each parameter, and for each campaign where there are several."""
    numbers: Counter[str] = Counter()
    for one in found:
        numbers[one.parameter] += 1
        number = numbers[one.parameter]
        title = f"Miss ratio over {one.parameter}" + (f": {one.among}" if one.among else "")
        suffix = f"-{number}" if number > 1 else ""
        yield f"misses-{one.parameter}{suffix}", title, _miss_ratio(one.parameter, one.values)


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element, without external references."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `NAME.pdf` and `NAME.svg`.

    Raises:
        SettingsError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with new_output(folder / f"{name}.pdf") as part:
            figure.savefig(part, metadata={"CreationDate": None})
        with new_output(folder / f"{name}.svg") as part:
            figure.savefig(part, metadata={"Date": None})
    except OSError as error:
        raise SettingsError(f"cannot write {folder}: {error.strerror}; choose another folder") from error


def _new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415 - an extra

    figure = NewFigure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in [axes] if columns == 1 else axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _distribution(of_task: Sequence[TaskStatistics]) -> Figure:
    """A histogram over all variants, and the cumulative distribution of each."""
    figure, (left, right) = _new_figure(8.6, 2.7, 2)
    everything = [response for one in of_task for response in one.responses_ms]
    left.hist(everything, bins=_bin_edges(min(everything), max(everything)), color=_BAR)
    left.set(xlabel="response time (ms)", ylabel="jobs")
    left.yaxis.get_major_locator().set_params(integer=True)
    shown = sorted(of_task, key=lambda one: -(one.miss_ratio or 0.0))[:_MOST_LINES]
    for one in sorted(shown, key=lambda one: one.name):
        ordered = sorted(one.responses_ms)
        shares = [(place + 1) / len(ordered) for place in range(len(ordered))]
        values = ", ".join(map(str, one.parameters.values())) or one.variant
        label = _short(" ".join(filter(None, (one.origin, values, one.distinction))))
        right.step([ordered[0], *ordered], [0, *shares], where="post", label=label)
    right.set(xlabel="response time (ms)", ylabel="share of jobs", ylim=(0, 1.02))
    if len(shown) > 1:
        right.legend(
            fontsize=7,
            title=",\n".join(map(_short, dict.fromkeys(name for one in shown for name in one.parameters))),
            title_fontsize=7,
            alignment="left",
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.02),
        )
    return figure


def _bin_edges(least_ms: int, most_ms: int) -> list[float]:
    """Edges of bins that all have the same number of whole milliseconds."""
    width = -(-(most_ms - least_ms + 1) // _MOST_BINS)
    return [edge - 0.5 for edge in range(least_ms, most_ms + width + 1, width)]


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _miss_ratio(name: str, values: Sequence[tuple[object, int, int]]) -> Figure:
    figure, axes = _new_figure(3.6, 2.5)
    ratios = [100 * misses / jobs if jobs else 0.0 for _, misses, jobs in values]
    places = range(len(values))
    if len(values) > _MOST_BARS:
        return _miss_line(figure, axes, name, values, ratios)
    axes.bar(places, ratios, color=_MISS, width=0.6)
    labels = [_short(str(value), 14) for value, _, _ in values]
    axes.set_xticks(places, labels, rotation=45 if len(values) > _UPRIGHT_LABELS else 0)
    axes.set(xlabel=name, ylabel="misses (% of jobs)", ylim=(0, max(5.0, *ratios) * 1.1))
    return figure


def _miss_line(
    figure: Figure, axes: Axes, name: str, values: Sequence[tuple[object, int, int]], ratios: list[float]
) -> Figure:
    """Many values: a line over the numbers, or over their places if they are none."""
    numbers = [value for value, _, _ in values if isinstance(value, int | float)]
    axes.plot(numbers if len(numbers) == len(values) else range(len(values)), ratios, color=_MISS)
    axes.set(xlabel=name, ylabel="misses (% of jobs)", ylim=(0, max(5.0, *ratios) * 1.1))
    return figure


def _schedule(jobs: Sequence[JobRow], run: RunResult) -> Figure:
    """Jobs from release to end, with releases (▽) and deadlines (△)."""
    tasks = {int(task["id"]): str(task.get("pkg") or "") for task in run.tasks}
    ids = sorted({job.task_id for job in jobs})
    figure, axes = _new_figure(8.6, 0.7 + 0.5 * max(1, len(ids)))
    known = [time for job in jobs for time in (job.release_ms, job.end_ms) if time is not None]
    origin = earliest_ms(known) or 0
    for place, task_id in enumerate(ids):
        for job in [job for job in jobs if job.task_id == task_id][:_MOST_JOBS]:
            _draw_job(axes, job, len(ids) - 1 - place, origin)
    axes.set_yticks(range(len(ids)), [f"{one} {tasks.get(one, '')}" for one in reversed(ids)])
    axes.set(xlabel="ms since the first release", ylim=(-0.6, len(ids) - 0.2))
    axes.use_sticky_edges = False  # keep the first release off the axis
    axes.margins(x=0.01)
    return figure


def _draw_job(axes: Axes, job: JobRow, height: float, origin: int) -> None:
    released, ended = (
        None if time is None else distance_ms(origin, time) for time in (job.release_ms, job.end_ms)
    )
    start = released if released is not None else ended
    end = ended if ended is not None else start
    if start is None or end is None:
        return
    color = _MISS if job.is_miss else _CUT_OFF if job.is_cut_off else _BAR
    axes.barh(height, max(end - start, 0.3), left=start, height=0.5, color=color, linewidth=0)
    if released is not None:
        axes.plot(start, height + 0.36, marker="v", color="#263238", markersize=3)
        if job.deadline_ms is not None:
            due = start + job.deadline_ms
            axes.plot(due, height - 0.36, marker="^", color=_MISS, markersize=3)
    if job.exit_type == EventType.NOT_SCHEDULED:
        axes.plot(start, height, marker="x", color=_MISS, markersize=5)
