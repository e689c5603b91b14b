"""What is kept of task-sets and runs, as rows, and what has changed of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from taskgen.run import Outcome, new_id

ALL: str = "all"
"""The tallies' scope for all runs."""

OutcomeText = Annotated[str, AfterValidator(lambda text: Outcome(text).value)]
"""The value of an `Outcome`."""


class TaskSetState(StrEnum):
    """Where a task-set is."""

    RUNNING = "running"
    WAITING = "waiting"
    """Put back, after an attempt without a result."""
    DONE = "done"
    """It has a result."""
    FAILED = "bad"
    CANCELLED = "called_off"


@dataclass(slots=True)
class TaskSetRow:
    """A task-set, over all its attempts."""

    taskset_id: str
    campaign_id: str
    state: str
    outcome: str | None
    """Of the first run that is a result."""
    message: str
    """JSON of the `TaskSetMessage` of the last attempt."""

    @property
    def tally(self) -> str:
        """Under what it counts in its campaign."""
        return self.outcome or self.state


@dataclass(slots=True)
class RunRow:
    """A run."""

    run_id: str
    taskset_id: str
    campaign_id: str
    board: str
    distributor: str
    attempt: int
    variant: int
    started_at: str
    next_seq: int = 0
    """Number of the first event that was not handled yet."""
    done_tasks: str = "[]"
    """JSON: ids of the tasks for which JOBS_DONE came."""
    decision: OutcomeText | None = None
    """The outcome that was decided."""
    decided_because: str = ""
    outcome: OutcomeText | None = None
    """None while it is on."""
    reason: str = ""
    ended_at: str = ""
    events: int | None = None
    """How many it has in all; None until its closing message came."""
    is_surplus: bool = False
    """Its task-set had a result or another run already: what becomes of it does not depend on this one."""
    is_settled: bool = False
    """What its end means for its task-set has been done."""
    is_closed: bool = False
    """The handler was told of its end; nothing more is to come."""


class JobRow(NamedTuple):
    """One job of a task in a run; times in ms of the board's clock."""

    run_id: str
    task_id: int
    job: int
    start_ms: int | None
    end_ms: int | None
    exit_type: str | None


class OutOfOrderRow(NamedTuple):
    """A message that came before its turn."""

    message_id: str
    run_id: str
    body: str


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message that has to reach the broker."""

    exchange: str
    routing_key: str
    message_id: str
    body: str
    sending_id: str = field(default_factory=new_id)


@dataclass(slots=True)
class Changes:
    """What is to be written in one transaction; rows are read when it is."""

    tasksets: dict[str, TaskSetRow] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    jobs: dict[tuple[str, int, int], JobRow] = field(default_factory=dict)
    early: dict[str, OutOfOrderRow] = field(default_factory=dict)
    no_longer_early: set[str] = field(default_factory=set)
    """Ids of messages whose turn has come."""
    without_early: set[str] = field(default_factory=set)
    """Ids of runs of which no early message is needed any more."""
    sendings: list[OutgoingMessage] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    """Ids of sendings that the broker has."""
    tallies: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By how much the number of a scope and name grows."""

    def __bool__(self) -> bool:
        # What else there is only follows from these.
        return any((self.tasksets, self.runs, self.jobs, self.early, self.sendings, self.sent)) or any(
            (self.no_longer_early, self.without_early)
        )
