"""Compares the response times of two sets of runs, and those of runs with the simulated schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from taskgen.errors import SettingsError
from taskgen.metrics import JobRow, job_rows
from taskgen.results.dataset import Dataset, RunResult
from taskgen.results.statistics import TaskStatistics
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import schedule

_TRUNCATION_MS: Final = 1
"""Time stamps are truncated, so differences of this size mean nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One task of one variant in two sets of runs, `a` and `b`."""

    variant: str
    task_id: int
    pkg: str
    jobs_a: int
    jobs_b: int
    median_a_ms: float
    median_b_ms: float
    p_value: float
    """Of the two-sided Mann-Whitney U test: how likely such a difference is if both have one distribution."""
    effect: float
    """Cliff's delta, -1 to 1: the share of pairs in which `b` took longer, less that in which `a` did."""
    misses_a: int
    misses_b: int


def differences(
    a: Sequence[TaskStatistics], b: Sequence[TaskStatistics]
) -> tuple[list[Difference], list[str]]:
    """Compare what both have; returns the differences, and the names of what only one of them has.

    Raises:
        SettingsError: SciPy is not installed.
    """
    try:
        from scipy.stats import mannwhitneyu  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for comparisons install taskgen-events[report]") from error
    others = {one.key: one for one in b}
    found, alone = [], []
    for one in a:
        other = others.pop(one.key, None)
        if other is None or not one.responses_ms or not other.responses_ms:
            alone.append(f"{one.variant}, task {one.task_id}")
            continue
        test = mannwhitneyu(other.responses_ms, one.responses_ms, alternative="two-sided")
        pairs = len(one.responses_ms) * len(other.responses_ms)
        found.append(
            Difference(
                one.variant,
                one.task_id,
                one.pkg,
                len(one.responses_ms),
                len(other.responses_ms),
                one.median_ms or 0.0,
                other.median_ms or 0.0,
                float(test.pvalue),
                2 * float(test.statistic) / pairs - 1,
                one.misses,
                other.misses,
            )
        )
    return found, alone + [f"{one.variant}, task {one.task_id}" for one in others.values()]


@dataclass(frozen=True, slots=True)
class Divergence:
    """A run and the simulation of its task-set."""

    run: RunResult
    jobs: int
    """Jobs that both have."""
    agreeing: int
    """Those with the same exit type, and response times that differ by 1 ms at most."""
    first: str
    """The first job that differs, and how; empty if none does."""


def divergences(dataset: Dataset, seed: int = 0, cores: int = 2) -> Iterator[Divergence]:
    """Simulate the task-set of each complete run, and compare it job by job.

    Args:
        dataset: the runs.
        seed: of the simulated run times.
        cores: of the simulated board.
    """
    for one in dataset.complete:
        jobs = list(dataset.jobs(one))
        yield _divergence(one, jobs, _simulated(one, jobs, seed, cores))


def _simulated(run: RunResult, jobs: Sequence[JobRow], seed: int, cores: int) -> list[JobRow]:
    """The jobs of the simulated schedule that end as early as those of the board."""
    tasks = [PeriodicTask.read(task) for task in run.tasks]
    times = [time for job in jobs for time in (job.release_ms, job.end_ms) if time is not None]
    length_ms = max(times, default=0) - min(times, default=0) + 1_000
    binaries = frozenset(task.pkg for task in tasks)
    events = takewhile(lambda event: event.time <= length_ms, schedule(tasks, seed, cores, binaries))
    timed = ((event.task_id, event.type.value, event.time, None) for event in events)
    return list(job_rows(run.run.run_id, run.tasks, timed))


def _divergence(run: RunResult, board: Sequence[JobRow], model: Sequence[JobRow]) -> Divergence:
    expected = {(job.task_id, job.job): job for job in model}
    shared = [(job, expected[job.task_id, job.job]) for job in board if (job.task_id, job.job) in expected]
    differing = [(job, other) for job, other in shared if not _agree(job, other)]
    first = ""
    if differing:
        job, other = min(differing, key=lambda pair: pair[0].job)
        first = f"job {job.job} of task {job.task_id}: {_shown(job)}, simulated {_shown(other)}"
    elif len(shared) < len(board):
        first = f"{len(board) - len(shared)} jobs that the simulation does not have"
    return Divergence(run, len(shared), len(shared) - len(differing), first)


def _agree(job: JobRow, other: JobRow) -> bool:
    if job.exit_type != other.exit_type:
        return False
    if job.response_ms is None or other.response_ms is None:
        return job.response_ms == other.response_ms
    return abs(job.response_ms - other.response_ms) <= _TRUNCATION_MS


def _shown(job: JobRow) -> str:
    response = "" if job.response_ms is None else f" after {job.response_ms} ms"
    return f"{job.exit_type or 'no end'}{response}"
