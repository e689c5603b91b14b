"""Statistics of each task of each variant, over all complete runs of it."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from taskgen.event_type import EventType
from taskgen.metrics import JobRow
from taskgen.results.dataset import Dataset, RunResult
from taskgen.results.pools import Parameters, Pool, PoolName, file_name, pool_names, pool_of

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
    judged: int = 0
    """Jobs of which it is known whether they are misses."""
    skipped_releases: int = 0
    failures: int = 0
    cut_off: int = 0
    responses_ms: list[int] = field(default_factory=list)
    """Of the jobs that ended by themselves with exit value 0."""
    jitters_ms: list[int] = field(default_factory=list)
    """Distance of each release from its run's grid."""
    parameters: dict[str, object] = field(default_factory=dict)
    """Those that vary, by name."""
    fixed: Parameters = ()
    """Parameters of all tasks of the task-set; none if the store does not know them."""
    campaign: str = ""
    """Name of the campaign, or a part of its id."""
    origin: str = ""
    """Campaign and file, where the selection has several."""
    distinction: str = ""
    """What else tells it from a row of the same variant, such as `task0.pkg=hey`."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Identifies it across stores."""
        return file_name(self.source), self.variant, self.task_id

    @property
    def name(self) -> str:
        """The variant, told from all other rows."""
        origin = f"{self.origin}: " if self.origin else ""
        return f"{origin}{self.distinct_variant}"

    @property
    def distinct_variant(self) -> str:
        """The variant, told from others of the same campaign and file."""
        return f"{self.variant} ({self.distinction})" if self.distinction else self.variant

    @property
    def unknown(self) -> int:
        """Jobs of which it is unknown whether they are misses, without those cut off."""
        return self.jobs - self.cut_off - self.judged

    @property
    def miss_ratio(self) -> float | None:
        """Misses over the jobs of which it is known whether they are misses; None if there are none."""
        return self.misses / self.judged if self.judged else None

    @property
    def jitter_ms(self) -> int | None:
        """The largest distance from the grid minus the smallest."""
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
        self.judged += job.is_miss is not None
        self.skipped_releases += job.skipped_releases_before or 0
        self.failures += job.exit_type in _FAILURES
        self.cut_off += job.is_cut_off
        if job.exit_type == EventType.EXIT and job.response_ms is not None:
            self.responses_ms.append(job.response_ms)
        if job.release_jitter_ms is not None:
            self.jitters_ms.append(job.release_jitter_ms)


COLUMNS = (
    "campaign", "source", "variant", "task", "pkg", "runs", "jobs", "completed", "misses", "miss_ratio",
    "unknown", "skipped_releases", "failures", "cut_off", "min_ms", "mean_ms", "median_ms", "p95_ms",
    "p99_ms", "max_ms", "jitter_ms",
)  # fmt: skip


def row(one: TaskStatistics) -> tuple[str | int | float | None, ...]:
    """The values of `COLUMNS`."""
    responses = one.responses_ms
    ends = (min(responses), max(responses)) if responses else (None, None)
    return (
        one.campaign, one.source, one.distinct_variant, one.task_id, one.pkg, one.runs, one.jobs,
        len(responses), one.misses, _rounded(one.miss_ratio, 4), one.unknown, one.skipped_releases,
        one.failures, one.cut_off, ends[0], _rounded(one.mean_ms, 3), _rounded(one.median_ms, 1),
        one.quantile_ms(95), one.quantile_ms(99), ends[1], one.jitter_ms,
    )  # fmt: skip


def _rounded(value: float | None, digits: int) -> float | int | None:
    """Whole numbers become integers, which are written without `.0`."""
    if value is None:
        return None
    short = round(value, digits)
    return int(short) if short == int(short) else short


def task_statistics(dataset: Dataset) -> list[TaskStatistics]:
    """The statistics of every task of every variant, also of those without jobs.

    Only runs that repeat one another are pooled: see `taskgen.results.pools`. Incomplete runs are left out.
    """
    runs = dataset.complete
    pools = [pool_of(run) for run in runs]
    names = pool_names(pools, dataset.campaigns)
    found: dict[tuple[Pool, int], TaskStatistics] = {}
    for run, pool in zip(runs, pools, strict=True):
        described = [int(task["id"]) for task in run.tasks]
        of_run = {task_id: _of_task(found, run, pool, names[pool], task_id) for task_id in described}
        for job in dataset.jobs(run):
            if job.task_id not in of_run:
                of_run[job.task_id] = _of_task(found, run, pool, names[pool], job.task_id)
            of_run[job.task_id].add(job)
        for one in of_run.values():
            one.runs += 1
    return list(found.values())


def most_missed(dataset: Dataset, count: int = 3) -> list[RunResult]:
    """The runs with most misses, whose schedules are drawn; of the same number, the oldest."""
    return sorted(dataset.runs, key=lambda run: -_misses(dataset, run))[:count]


def _misses(dataset: Dataset, run: RunResult) -> int:
    stored = dataset.reader.misses(run.run.run_id)
    return sum(job.is_miss or 0 for job in dataset.jobs(run)) if stored is None else stored


def _of_task(
    found: dict[tuple[Pool, int], TaskStatistics], run: RunResult, pool: Pool, name: PoolName, task_id: int
) -> TaskStatistics:
    if (pool, task_id) not in found:
        pkgs = {int(task["id"]): str(task.get("pkg") or "") for task in run.tasks}
        found[pool, task_id] = TaskStatistics(
            pool.source,
            pool.variant,
            task_id,
            pkgs.get(task_id, ""),
            parameters=dict(run.variant.parameters),
            fixed=pool.parameters,
            campaign=name.campaign,
            origin=name.origin,
            distinction=name.distinction,
        )
    return found[pool, task_id]


class Varied(NamedTuple):
    """A parameter that varies among variants that otherwise belong together."""

    parameter: str
    among: str
    """Campaign, file and fixed parameters of the variants, where there are several; else empty."""
    values: list[tuple[object, int, int]]
    """Its values, at least two, each with misses, and jobs of which it is known whether they are misses."""


def varied(statistics_: Sequence[TaskStatistics]) -> Iterator[Varied]:
    """Each parameter that varies, apart for each campaign, file and set of fixed parameters."""
    alike: dict[str, list[TaskStatistics]] = defaultdict(list)
    for one in statistics_:
        alike[" ".join(filter(None, (one.origin, one.distinction)))].append(one)
    for among, members in alike.items():
        for name in dict.fromkeys(name for one in members for name in one.parameters):
            values = _by_value(name, [one for one in members if name in one.parameters])
            if len(values) > 1:
                yield Varied(name, among, values)


def _by_value(name: str, members: Sequence[TaskStatistics]) -> list[tuple[object, int, int]]:
    """Values can be nested, so that they are told apart by their JSON."""
    counts: dict[str, tuple[object, int, int]] = {}
    for one in members:
        value = one.parameters[name]
        text = json.dumps(value, sort_keys=True, default=str)
        _, misses, jobs = counts.get(text, (value, 0, 0))
        counts[text] = value, misses + one.misses, jobs + one.judged
    return sorted(counts.values(), key=lambda found: _order(found[0]))


def _order(value: object) -> tuple[bool, float, str]:
    """Numbers first, by size."""
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if isinstance(value, int | float) else 0.0, str(value)
