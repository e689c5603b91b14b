"""What can be wrong in stores, and the report of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from taskgen.events.ranges import Spans

_SHOWN_RANGES: Final = 5
_KEPT_FINDINGS: Final = 5_000


class Problem(StrEnum):
    """What can be wrong with a run in a store."""

    NO_RUN = "run is absent"
    NO_END = "end is absent"
    OTHER_RUN = "run is told otherwise"
    NO_TASKS = "tasks are absent"
    OTHER_TASKS = "tasks are told otherwise"
    MISSING = "events missing"
    DOUBLE = "events more than once"
    SURPLUS = "events beyond the number that the run has"
    STRAY = "events of tasks that the run does not have"
    OTHER_EVENTS = "events are other than in the other stores"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `str()` is one line."""

    run_id: str
    store: str
    """Names of the stores concerned."""
    problem: Problem
    ranges: tuple[tuple[int, int], ...] = ()
    """Numbers of the events concerned, as (first, last); the first 50 ranges of them."""
    count: int = 0
    """How many events are concerned, also where these are too many to be listed."""
    detail: str = ""

    @staticmethod
    def of_events(run_id: str, store: str, problem: Problem, spans: Spans) -> Finding:
        """One that concerns some of a run's events."""
        return Finding(run_id, store, problem, tuple(spans.kept), spans.count)

    def __str__(self) -> str:
        line = f"run {self.run_id}: {self.store}: "
        if self.ranges:
            shown = [
                str(first) if first == last else f"{first}-{last}"
                for first, last in self.ranges[:_SHOWN_RANGES]
            ]
            more = ", ..." if len(self.ranges) > _SHOWN_RANGES else ""
            return f"{line}{self.count} {self.problem}: {', '.join(shown)}{more}"
        return f"{line}{self.problem}{self.detail and f': {self.detail}'}"


@dataclass(slots=True)
class Report:
    """What `verify` found."""

    stores: list[str] = field(default_factory=list)
    """Names, in the order in which they were given."""
    ended: int = 0
    """Runs that were looked at."""
    not_ended: int = 0
    """Runs that were passed over, as none of the stores knows their end."""
    events: dict[str, int] = field(default_factory=dict)
    """For each store the events that were looked at."""
    findings: list[Finding] = field(default_factory=list)
    """The first 5,000."""
    found: int = 0
    """How many there are."""
    notes: list[str] = field(default_factory=list)
    """What could not be checked."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.found

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings, and keep them while there are few."""
        for finding in findings:
            self.found += 1
            if len(self.findings) < _KEPT_FINDINGS:
                self.findings.append(finding)
