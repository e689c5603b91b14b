"""Counts the deadline misses of a campaign while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from taskgen.event import DefaultEventHandler, Profile
from taskgen.metrics import JobPairing, RunMetrics
from taskgen.run import Run
from taskgen.taskset import TaskSet


@dataclass(slots=True)
class Misses:
    """Counts over a campaign's jobs; only those of runs that gave their variant a result."""

    jobs: int = 0
    misses: int = 0
    """Jobs that missed their deadline."""
    skipped_releases: int = 0
    """Releases without a job; not among the misses."""
    variants: int = 0
    """Variants with at least one miss."""


class MissCounter(DefaultEventHandler):
    """Computes the metrics of every run from its events; keeps nothing of a run that has ended."""

    def __init__(self) -> None:
        self.total = Misses()
        """Written by the handlers' thread."""
        self._runs: dict[str, tuple[JobPairing, RunMetrics]] = {}

    def __taskset_start__(self, taskset: TaskSet) -> None:
        """A run begins."""
        run_id = _run(taskset).run_id
        self._runs[run_id] = JobPairing(run_id, taskset), RunMetrics()

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        """Count the jobs that a profile ends; never decides anything."""
        pairing, metrics = self._runs[_run(taskset).run_id]
        for one in event["profile"]["events"]["event"]:
            row = pairing.take(int(one["@task-id"]), one["@type"], int(one["@time-stamp"]))
            if row is not None:
                metrics.add(row)
        return True

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        """A run has ended."""
        self._end(_run(taskset))

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        """A run has ended."""
        self._end(_run(taskset))

    def _end(self, run: Run) -> None:
        pairing, metrics = self._runs.pop(run.run_id)
        if run.outcome is None or not run.outcome.is_result:
            return
        for row in pairing.open_jobs():
            metrics.add(row)
        self.total.jobs += metrics.jobs
        self.total.misses += metrics.misses
        self.total.skipped_releases += metrics.skipped_releases
        self.total.variants += bool(metrics.misses)


def _run(taskset: TaskSet) -> Run:
    assert taskset.run is not None  # noqa: S101 - handlers are called for runs
    return taskset.run
