"""The work of boards, and the interface of its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from taskgen.retry_policy import Attempt
from taskgen.run import CampaignFacts, Run, new_id
from taskgen.taskset import TaskSet


@dataclass(slots=True)
class Assignment:
    """One variant of a task-set, to be run by a board."""

    taskset: TaskSet
    """Validated, without open choices."""
    session_params: tuple[Any, ...] = ()
    """Passed to `AbstractSession.start`."""
    variant: int = 0
    """Number of the variant in `TaskSet.variants()`, from 0."""
    attempt: Attempt = field(default_factory=Attempt)
    """Which attempt this is, and what happened in the earlier ones."""
    taskset_id: str = field(default_factory=new_id)
    """The same for all attempts at one variant."""
    campaign: CampaignFacts | None = None
    """The campaign that it belongs to."""
    origin: Any = None
    """Stored in the run for the `AssignmentSource`, which may put anything here."""


class AssignmentSource(Protocol):
    """The source of work for a distributor's boards; all methods are called in its asyncio loop."""

    async def take(self, board: str) -> Assignment:
        """Wait for work for this board. A cancelled call takes nothing."""

    def give_back(self, assignment: Assignment) -> None:
        """Take back, unchanged, an assignment that was not begun."""

    def refused(self, assignment: Assignment, reason: str) -> None:
        """A board cannot run an assignment, which is not attempted again."""

    def begun(self, assignment: Assignment, run: Run) -> None:
        """A run of the assignment begins."""

    def ended(self, assignment: Assignment, run: Run) -> None:
        """A run of the assignment has ended; the source decides whether there is another attempt."""

    def boards_changed(self) -> None:
        """A board became available or was lost."""
