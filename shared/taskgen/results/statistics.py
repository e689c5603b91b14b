"""Statistics of each task of each variant, over all complete runs of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from taskgen.event_type import EventType
from taskgen.metrics import JobRow
from taskgen.results.dataset import Dataset, RunResult

_LOOKED_AT = 1_000
_FAILURES = frozenset({EventType.EXIT_ERROR, EventType.OUT_OF_QUOTA, EventType.OUT_OF_CAPS})


@dataclass(slots=True)
class TaskStatistics:
    """One task of one variant; docs/time.md defines the numbers."""

    source: str
    """File or module that the task-set comes from."""
    variant: str
    """The parameters that vary, as they are shown."""
    task_id: int
    pkg: str
    runs: int = 0
    jobs: int = 0
    misses: int = 0
    skipped_releases: int = 0
    failures: int = 0
    cut_off: int = 0
    responses_ms: list[int] = field(default_factory=list)
    """Of the jobs that ended by themselves with exit value 0."""
    jitters_ms: list[int] = field(default_factory=list)
    """Distance of each release from its run's grid."""
    parameters: dict[str, object] = field(default_factory=dict)
    """Those that vary, by name."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is called in two stores alike."""
        return self.source.rpartition("/")[2], self.variant, self.task_id

    @property
    def miss_ratio(self) -> float:
        """Misses over jobs that were not cut off."""
        return self.misses / (self.jobs - self.cut_off) if self.jobs > self.cut_off else 0.0

    @property
    def jitter_ms(self) -> int | None:
        """The largest distance from the grid less the smallest."""
        return max(self.jitters_ms) - min(self.jitters_ms) if self.jitters_ms else None

    @property
    def mean_ms(self) -> float | None:
        """Mean of the response time."""
        return statistics.fmean(self.responses_ms) if self.responses_ms else None

    @property
    def median_ms(self) -> float | None:
        """Median of the response time."""
        return statistics.median(self.responses_ms) if self.responses_ms else None

    def quantile_ms(self, percent: int) -> int | None:
        """The smallest response time that at least this share of the completed jobs do not exceed."""
        ordered = sorted(self.responses_ms)
        return ordered[max(-(-len(ordered) * percent // 100), 1) - 1] if ordered else None

    def add(self, job: JobRow) -> None:
        """Count a job."""
        self.jobs += 1
        self.misses += job.is_miss or 0
        self.skipped_releases += job.skipped_releases_before or 0
        self.failures += job.exit_type in _FAILURES
        self.cut_off += job.is_cut_off
        if job.exit_type == EventType.EXIT and job.response_ms is not None:
            self.responses_ms.append(job.response_ms)
        if job.release_jitter_ms is not None:
            self.jitters_ms.append(job.release_jitter_ms)


COLUMNS = (
    "source", "variant", "task", "pkg", "runs", "jobs", "completed", "misses", "miss_ratio",
    "skipped_releases", "failures", "cut_off", "min_ms", "mean_ms", "median_ms", "p95_ms", "p99_ms", "max_ms",
    "jitter_ms",
)  # fmt: skip


def row(one: TaskStatistics) -> tuple[str | int | float | None, ...]:
    """The values of `COLUMNS`."""
    responses = one.responses_ms
    ends = (min(responses), max(responses)) if responses else (None, None)
    return (
        one.source, one.variant, one.task_id, one.pkg, one.runs, one.jobs, len(responses), one.misses,
        round(one.miss_ratio, 4), one.skipped_releases, one.failures, one.cut_off, ends[0],
        None if one.mean_ms is None else round(one.mean_ms, 3), one.median_ms, one.quantile_ms(95),
        one.quantile_ms(99), ends[1], one.jitter_ms,
    )  # fmt: skip


def task_statistics(dataset: Dataset) -> list[TaskStatistics]:
    """The statistics of every task of every variant; incomplete runs are left out."""
    found: dict[tuple[str, str, int], TaskStatistics] = {}
    for run in dataset.complete:
        seen: set[int] = set()
        for job in dataset.jobs(run):
            one = _of_task(found, run, job.task_id)
            one.add(job)
            if job.task_id not in seen:
                seen.add(job.task_id)
                one.runs += 1
    return list(found.values())


def most_missed(dataset: Dataset, count: int = 3) -> list[RunResult]:
    """The runs with most misses among the first 1,000: those whose schedules are drawn."""
    misses = [sum(job.is_miss or 0 for job in dataset.jobs(one)) for one in dataset.runs[:_LOOKED_AT]]
    by_misses = sorted(zip(misses, range(len(misses)), strict=True), key=lambda pair: (-pair[0], pair[1]))
    return [dataset.runs[number] for _, number in by_misses[:count]]


def _of_task(
    found: dict[tuple[str, str, int], TaskStatistics], run: RunResult, task_id: int
) -> TaskStatistics:
    key = run.variant.source, run.name, task_id
    if key not in found:
        names = {int(task["id"]): str(task.get("pkg") or "") for task in run.tasks}
        pkg, varying = names.get(task_id, ""), dict(run.variant.parameters)
        found[key] = TaskStatistics(run.variant.source, run.name, task_id, pkg, parameters=varying)
    return found[key]


def varied(statistics_: Sequence[TaskStatistics]) -> Iterator[tuple[str, list[tuple[object, int, int]]]]:
    """For each parameter that varies: its values, each with misses and jobs (without those cut off)."""
    names = dict.fromkeys(name for one in statistics_ for name in one.parameters)
    for name in names:
        counts: dict[object, tuple[int, int]] = {}
        for one in statistics_:
            if name in one.parameters:
                misses, jobs = counts.get(one.parameters[name], (0, 0))
                counts[one.parameters[name]] = misses + one.misses, jobs + one.jobs - one.cut_off
        yield name, [(value, misses, jobs) for value, (misses, jobs) in sorted(counts.items(), key=_order)]


def _order(item: tuple[object, object]) -> tuple[bool, float, str]:
    """Numbers first, by size."""
    value = item[0]
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if isinstance(value, int | float) else 0.0, str(value)
