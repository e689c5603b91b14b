"""Compares the response times of two sets of runs, and those of runs with the simulated schedule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from taskgen.errors import SettingsError
from taskgen.metrics import JobRow, earliest_ms, elapsed_ms, job_rows
from taskgen.results.dataset import Dataset, RunResult
from taskgen.results.pools import changes
from taskgen.results.statistics import TaskStatistics
from taskgen.run import Outcome
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import schedule

_TRUNCATION_MS: Final = 1
"""Time stamps are truncated, so differences of this size mean nothing."""
_RELEASE_TOLERANCE_MS: Final = _TRUNCATION_MS + 1
"""A START is written once the job's process was created, which takes a time that varies: 1 ms more."""
_LONGER_MS: Final = 1_000
"""How much longer than the run the simulation goes on, to find jobs that the run does not have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One task of one variant in two sets of runs, `a` and `b`."""

    a: TaskStatistics
    b: TaskStatistics
    p_value: float | None
    """Of the two-sided Mann-Whitney U test: how likely such a difference is if both have one distribution.

    None if one of them has no response times.
    """
    effect: float | None
    """Cliff's delta, -1 to 1: the share of pairs in which `b` took longer, less that in which `a` did."""

    @property
    def changed(self) -> list[str]:
        """Parameters of the task-set that differ, such as `task0.deadline: 0 → 20`."""
        return changes(self.a.fixed, self.b.fixed)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sets of runs, `a` and `b`, task by task."""

    differences: list[Difference] = field(default_factory=list)
    """Of the tasks that both have."""
    only_a: list[TaskStatistics] = field(default_factory=list)
    only_b: list[TaskStatistics] = field(default_factory=list)

    @property
    def has_equal_jobs(self) -> bool:
        """Whether each task has as many jobs that are known to be hits or misses in `a` as in `b`."""
        return all(one.a.judged == one.b.judged for one in self.differences)


def compared(a: Sequence[TaskStatistics], b: Sequence[TaskStatistics]) -> Comparison:
    """Compare two campaigns.

    Tasks of the same file, variant and id belong together. Where a campaign has several task-sets of one
    variant, those with the same parameters do.

    Raises:
        SettingsError: SciPy is not installed.
    """
    test = _mann_whitney()
    found = Comparison()
    ours, theirs = _by_key(a), _by_key(b)
    for key in ours | theirs:
        pairs, only_a, only_b = _paired(ours.get(key, []), theirs.get(key, []))
        found.differences.extend(Difference(one, other, *test(one, other)) for one, other in pairs)
        found.only_a.extend(only_a)
        found.only_b.extend(only_b)
    return found


def _by_key(statistics: Sequence[TaskStatistics]) -> dict[tuple[str, str, int], list[TaskStatistics]]:
    found = defaultdict(list)
    for one in statistics:
        found[one.key].append(one)
    return dict(found)


def _paired(
    a: Sequence[TaskStatistics], b: Sequence[TaskStatistics]
) -> tuple[list[tuple[TaskStatistics, TaskStatistics]], list[TaskStatistics], list[TaskStatistics]]:
    """Those with the same parameters; if one remains on each side, these have changed parameters."""
    pairs, only_a, only_b = [], [], list(b)
    for one in a:
        places = (place for place, other in enumerate(only_b) if other.fixed == one.fixed)
        place = next(places, None)
        if place is None:
            only_a.append(one)
        else:
            pairs.append((one, only_b.pop(place)))
    if len(only_a) == len(only_b) == 1:
        return [*pairs, (only_a[0], only_b[0])], [], []
    return pairs, only_a, only_b


def _mann_whitney() -> Callable[[TaskStatistics, TaskStatistics], tuple[float | None, float | None]]:
    """A function for p-value and effect size."""
    try:
        from scipy.stats import mannwhitneyu  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for comparisons, install taskgen-events[report]") from error

    def test(a: TaskStatistics, b: TaskStatistics) -> tuple[float | None, float | None]:
        if not a.responses_ms or not b.responses_ms:
            return None, None
        found = mannwhitneyu(b.responses_ms, a.responses_ms, alternative="two-sided")
        pairs = len(a.responses_ms) * len(b.responses_ms)
        return float(found.pvalue), 2 * float(found.statistic) / pairs - 1

    return test


@dataclass(frozen=True, slots=True)
class Divergence:
    """A run and the simulation of its task-set."""

    run: RunResult
    jobs: int
    """Jobs that the run or the simulation has."""
    agreeing: int
    """Those that both have, with the same exit type, and with releases and response times that agree."""
    first: str
    """The first job that differs, and how; empty if none does."""
    only_run: int = 0
    """Jobs that the simulation does not have."""
    only_simulated: int = 0
    """Jobs that the run does not have, although it went on for as long."""


def divergences(dataset: Dataset, seed: int = 0, cores: int = 2) -> Iterator[Divergence]:
    """Simulate the task-set of each complete run, and compare it job by job.

    Releases are compared relative to the first one of their run, because the clock of a board begins whenever
    it was booted.

    Args:
        dataset: the runs.
        seed: of the simulated run times.
        cores: of the simulated board.
    """
    for one in dataset.complete:
        board = _Schedule(list(dataset.jobs(one)))
        yield _divergence(one, board, _simulated(one, board.length_ms, seed, cores))


class _Schedule:
    """Jobs, and their times relative to the first release."""

    def __init__(self, jobs: Sequence[JobRow]) -> None:
        self.jobs = {(job.task_id, job.job): job for job in jobs}
        self._first_ms = earliest_ms([job.release_ms for job in jobs if job.release_ms is not None])
        times = (self.since_first_ms(time) for job in jobs for time in (job.release_ms, job.end_ms))
        self.length_ms = max((time for time in times if time is not None), default=0)
        """Until the last release or end."""

    def since_first_ms(self, time_ms: int | None) -> int | None:
        """None if the time is unknown, or the clock was set back."""
        return None if time_ms is None or self._first_ms is None else elapsed_ms(self._first_ms, time_ms)

    def release_ms(self, job: JobRow) -> int | None:
        """When a job was released."""
        return self.since_first_ms(job.release_ms)


def _simulated(run: RunResult, length_ms: int, seed: int, cores: int) -> _Schedule:
    """The simulated schedule until a while after the board's last event."""
    tasks = [PeriodicTask.read(task) for task in run.tasks]
    binaries = frozenset(task.pkg for task in tasks)
    offset_ms = min((task.offset for task in tasks), default=0)
    until_ms = offset_ms + length_ms + _LONGER_MS
    events = takewhile(lambda event: event.time <= until_ms, schedule(tasks, seed, cores, binaries))
    timed = ((event.task_id, event.type.value, event.time, None) for event in events)
    return _Schedule(list(job_rows(run.run.run_id, run.tasks, timed)))


def _divergence(run: RunResult, board: _Schedule, model: _Schedule) -> Divergence:
    """Compare job by job, in the order of the jobs' numbers."""
    expected = {
        key for key, job in model.jobs.items() if key in board.jobs or _is_due(run, board, model, job)
    }
    differing: dict[tuple[int, int], str] = {}
    for key in sorted(board.jobs.keys() | expected, key=lambda key: (key[1], key[0])):
        job, other = board.jobs.get(key), model.jobs.get(key)
        if job is None or other is None:
            differing[key] = "only simulated" if job is None else "not simulated"
        elif text := _disagreement(board, job, model, other):
            differing[key] = text
    first = next((f"job {key[1]} of task {key[0]}: {text}" for key, text in differing.items()), "")
    jobs = len(board.jobs.keys() | expected)
    only_run, only_simulated = len(board.jobs.keys() - expected), len(expected - board.jobs.keys())
    return Divergence(run, jobs, jobs - len(differing), first, only_run, only_simulated)


def _is_due(run: RunResult, board: _Schedule, model: _Schedule, job: JobRow) -> bool:
    """Whether the run ought to have a job: one that was not finished ended before all jobs had theirs."""
    end_ms = model.since_first_ms(job.end_ms)
    return run.run.outcome is Outcome.FINISHED or (end_ms is not None and end_ms < board.length_ms)


def _disagreement(board: _Schedule, job: JobRow, model: _Schedule, other: JobRow) -> str:
    """How a job differs from the simulated one; empty if it does not."""
    release_ms, expected_ms = board.release_ms(job), model.release_ms(other)
    if not _is_near(release_ms, expected_ms, _RELEASE_TOLERANCE_MS):
        return f"released at {_at(release_ms)}, simulated {_at(expected_ms)}"
    if job.is_cut_off and job.end_ms is not None and _outlasts(job, other):
        return ""
    if job.exit_type != other.exit_type or not _is_near(job.response_ms, other.response_ms, _TRUNCATION_MS):
        return f"{_shown(job)}, simulated {_shown(other)}"
    return ""


def _outlasts(job: JobRow, other: JobRow) -> bool:
    """Whether a simulated job was still there when the end of the run killed the real one."""
    if job.release_ms is None or job.end_ms is None or other.response_ms is None:
        return True
    return other.response_ms + _TRUNCATION_MS >= job.end_ms - job.release_ms


def _is_near(time_ms: int | None, other_ms: int | None, tolerance_ms: int) -> bool:
    if time_ms is None or other_ms is None:
        return time_ms == other_ms
    return abs(time_ms - other_ms) <= tolerance_ms


def _at(time_ms: int | None) -> str:
    return "an unknown time" if time_ms is None else f"{time_ms} ms"


def _shown(job: JobRow) -> str:
    response = "" if job.response_ms is None else f" after {job.response_ms} ms"
    return f"{job.exit_type or 'no end'}{response}"
