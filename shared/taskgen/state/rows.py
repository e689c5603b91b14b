"""The rows that are kept of task-sets and runs, and the changes to write."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator

from taskgen.run import Outcome, new_id

ALL: Final = "all"
"""Scope of the counts of all runs; every other scope is a campaign."""

OutcomeText = Annotated[str, AfterValidator(lambda text: Outcome(text).value)]
"""The value of an `Outcome`."""


class TaskSetState(StrEnum):
    """Where a task-set is in its lifecycle; stored, so two values keep the words of older versions."""

    RUNNING = "running"
    WAITING = "waiting"
    """Requeued after an attempt without a result."""
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
    """Of the first run with a result."""
    message: str
    """JSON of the `TaskSetMessage` of the last attempt."""

    @property
    def counted_as(self) -> str:
        """The name under which its campaign counts it."""
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
    """Number of the next event to handle."""
    done_tasks: str = "[]"
    """JSON: ids of the tasks for which JOBS_DONE arrived."""
    decision: OutcomeText | None = None
    """The outcome that was decided."""
    decided_because: str = ""
    outcome: OutcomeText | None = None
    """None while it is in progress."""
    reason: str = ""
    ended_at: str = ""
    events: int | None = None
    """The total number of events; None until the closing message arrives."""
    is_duplicate: bool = False
    """Its task-set had a result or another run already, and does not depend on this one."""
    is_resolved: bool = False
    """Its end has been applied to its task-set."""
    is_closed: bool = False
    """The handler was given its end; everything else is a duplicate."""


class JobRow(NamedTuple):
    """One job of a task in a run; times in ms of the board's clock."""

    run_id: str
    task_id: int
    job: int
    start_ms: int | None
    end_ms: int | None
    exit_type: str | None


class OutOfOrderRow(NamedTuple):
    """A message that arrived before its turn."""

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
    outgoing_id: str = field(default_factory=new_id)


@dataclass(slots=True)
class Changes:
    """What to write in one transaction; rows are read when it is written."""

    tasksets: dict[str, TaskSetRow] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    jobs: list[JobRow] = field(default_factory=list)
    """A later row replaces an earlier one of the same job."""
    out_of_order: dict[str, OutOfOrderRow] = field(default_factory=dict)
    """New messages, by id."""
    applied_messages: set[str] = field(default_factory=set)
    """Ids of messages that are no longer out of order."""
    runs_without_messages: set[str] = field(default_factory=set)
    """Ids of runs whose out-of-order messages are obsolete."""
    outgoing: list[OutgoingMessage] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    """Ids of outgoing messages that the broker has confirmed."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Differences, by scope and name."""

    def __bool__(self) -> bool:
        # Counts change only together with these.
        return any((self.tasksets, self.runs, self.jobs, self.out_of_order, self.outgoing, self.sent)) or any(
            (self.applied_messages, self.runs_without_messages)
        )
