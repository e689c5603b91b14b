"""Reads common to all SQL stores: jobs, campaigns, variants, binaries and recorded results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Final, TypeVar

from taskgen.event import Quarantined
from taskgen.events.accounts import Account, Progress
from taskgen.events.base import EventRow
from taskgen.events.decoding import number, text
from taskgen.events.tables import (
    SELECT_BINARIES,
    SELECT_CAMPAIGNS,
    SELECT_HAS_METRICS,
    SELECT_JOBS,
    SELECT_RESULTS,
    SELECT_TASKS,
    SELECT_TIMED_EVENTS,
    SELECT_VARIANTS,
    binary_from,
    campaign_from,
    job_from,
    result_from,
    task_of_run,
    timed_event_from,
    variant_from,
)
from taskgen.metrics import JobRow, job_rows
from taskgen.run import CampaignFacts, Run, VariantFacts

_T = TypeVar("_T")


class SqlReader(ABC):
    """The part of `taskgen.events.readers.StoreReader` that does not depend on the database."""

    keeps_tasks: Final = True
    knows_ends: Final = True
    name: str
    """Its name in reports."""

    @abstractmethod
    def _read(
        self, table: str, decode: Callable[[tuple[Any, ...]], _T], query: str, *values: str
    ) -> Iterator[_T]:
        """Decode the rows of a query in SQLite's spelling; `table` names their place in errors."""

    @abstractmethod
    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id."""

    @abstractmethod
    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq."""

    @abstractmethod
    def quarantined(self) -> Iterator[Quarantined]:
        """Received bytes that are not events, ordered by time."""

    @abstractmethod
    def accounts(self, progress: Progress) -> Iterator[Account]:
        """What the store has of each run, ordered by id."""

    @abstractmethod
    def close(self) -> None:
        """Close file or connection."""

    def tasks(self, run_id: str) -> Iterator[dict[str, Any]]:
        """The parameters of a run's tasks, ordered by id, as `Task` takes them."""
        query = f"{SELECT_TASKS} WHERE run_id = ? ORDER BY task_id"
        return (task for _, task in self._read("tasks", task_of_run, query, run_id))

    def all_tasks(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The parameters of all tasks, each with its run's id."""
        return self._read("tasks", task_of_run, f"{SELECT_TASKS} ORDER BY task_id")

    def jobs(self, run_id: str) -> Iterator[JobRow]:
        """A run's jobs, ordered by task and number; also of a run that has not ended."""
        if any(self._read("run_metrics", itemgetter(0), SELECT_HAS_METRICS, run_id)):
            return self._read("jobs", job_from, SELECT_JOBS, run_id)
        events = self._read("events", timed_event_from, SELECT_TIMED_EVENTS, run_id)
        return iter(sorted(job_rows(run_id, self.tasks(run_id), events), key=itemgetter(1, 2)))

    def complete_runs(self) -> set[str]:
        """Ids of the runs that have ended and of which everything is stored."""
        return set(self._read("run_metrics", _run_id, "SELECT run_id FROM run_metrics"))

    def campaigns(self) -> Iterator[CampaignFacts]:
        """All campaigns, in the order in which they began."""
        return self._read("campaigns", campaign_from, SELECT_CAMPAIGNS)

    def variants(self) -> Iterator[VariantFacts]:
        """All variants."""
        return self._read("variants", variant_from, f"{SELECT_VARIANTS} ORDER BY taskset_id")

    def variant(self, taskset_id: str) -> VariantFacts | None:
        """One variant; None if the store does not know it."""
        found = self._read("variants", variant_from, f"{SELECT_VARIANTS} WHERE taskset_id = ?", taskset_id)
        return next(found, None)

    def misses(self, run_id: str) -> int | None:
        """Number of jobs of a run that missed their deadline; None if the run is incomplete."""
        query = "SELECT run_id, misses FROM run_metrics WHERE run_id = ?"
        return next(self._read("run_metrics", lambda row: number("misses", row[1]), query, run_id), None)

    def results(self) -> Iterator[tuple[str, str, Any]]:
        """What handlers recorded: run id, name and value."""
        return self._read("results", result_from, SELECT_RESULTS)

    def binaries(self) -> Iterator[tuple[str, str, str]]:
        """The binaries of all runs: run id, name and SHA-256."""
        return self._read("binaries", binary_from, SELECT_BINARIES)


def _run_id(row: tuple[Any, ...]) -> str:
    return text("run_id", row[0])
