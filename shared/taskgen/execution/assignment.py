"""What boards are given to run, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from taskgen.retry_policy import Attempt
from taskgen.run import Run, new_id
from taskgen.taskset import TaskSet


@dataclass(slots=True)
class Assignment:
    """One variant of a task-set, waiting for a board."""

    taskset: TaskSet
    """Without open choices, validated."""
    session_params: tuple[Any, ...] = ()
    variant: int = 0
    attempt: Attempt = field(default_factory=Attempt)
    taskset_id: str = field(default_factory=new_id)
    origin: Any = None
    """Travels with the run, for whoever made the assignment."""


class AssignmentSource(Protocol):
    """Where a distributor's boards get their work; all calls come from its asyncio loop."""

    async def take(self, board: str) -> Assignment:
        """Wait for work for this board. A cancelled call has taken nothing."""

    def give_back(self, assignment: Assignment) -> None:
        """Take back, unchanged, what was not begun."""

    def begun(self, assignment: Assignment, run: Run) -> None:
        """Hear that a run of it begins."""

    def ended(self, assignment: Assignment, run: Run) -> None:
        """Hear that a run of it has ended, and how; whether there is another attempt is decided here."""

    def boards_changed(self) -> None:
        """Hear that a board came or went."""
