"""Problems of stores, and the report about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from taskgen.events.ranges import Spans

_SHOWN_RANGES: Final = 5
_KEPT_FINDINGS: Final = 5_000


class Problem(StrEnum):
    """The kinds of problems of a run in a store."""

    NO_RUN = "run is absent"
    NO_END = "end is absent"
    OTHER_RUN = "run differs"
    NO_TASKS = "tasks are absent"
    OTHER_TASKS = "tasks differ"
    MISSING = "events missing"
    DOUBLE = "duplicate events"
    SURPLUS = "events beyond the run's number of events"
    STRAY = "events of unknown tasks"
    OTHER_EVENTS = "events differ from those in the other stores"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a run in a store; `str()` is one line."""

    run_id: str
    store: str
    """Names of the stores concerned."""
    problem: Problem
    ranges: tuple[tuple[int, int], ...] = ()
    """Numbers of the events concerned, as (first, last); the first 50 ranges of them."""
    count: int = 0
    """How many events are concerned, even if not all are listed."""
    detail: str = ""

    @staticmethod
    def of_events(run_id: str, store: str, problem: Problem, spans: Spans) -> Finding:
        """A finding about some of a run's events."""
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
    """The result of `verify`."""

    stores: list[str] = field(default_factory=list)
    """Names of the stores, in the order given."""
    ended: int = 0
    """Number of runs checked."""
    not_ended: int = 0
    """Number of runs skipped because no store knows their end."""
    events: dict[str, int] = field(default_factory=dict)
    """Number of events checked, by store."""
    findings: list[Finding] = field(default_factory=list)
    """The first 5,000 findings."""
    found: int = 0
    """Number of findings."""
    notes: list[str] = field(default_factory=list)
    """Notes on checks that were not possible."""

    @property
    def is_clean(self) -> bool:
        """Whether there are no findings."""
        return not self.found

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings, and keep the first ones."""
        for finding in findings:
            self.found += 1
            if len(self.findings) < _KEPT_FINDINGS:
                self.findings.append(finding)
