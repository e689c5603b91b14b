"""Decides whether a run has a result; if it has none, whether and where it is attempted again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from typing_extensions import override

from taskgen.errors import SettingsError
from taskgen.event import Stop
from taskgen.event_type import EventType
from taskgen.run import Outcome
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief


class RetryOn(StrEnum):
    """What a lab can treat as a fault of the board, although the run itself came to its end."""

    EXIT_ERROR = EventType.EXIT_ERROR.value
    """A job ended with an exit value other than 0."""
    OUT_OF_QUOTA = EventType.OUT_OF_QUOTA.value
    """A job ran out of RAM."""
    OUT_OF_CAPS = EventType.OUT_OF_CAPS.value
    """A job ran out of Genode capabilities."""
    TOO_FEW_JOBS = "TOO_FEW_JOBS"
    """A run finished, but fewer jobs of a task ended than its `numberofjobs`, refused ones not counted."""

    @override
    @classmethod
    def _missing_(cls, value: object) -> None:
        raise SettingsError(f"there is no retry on {value!r}; choose from {', '.join(cls)}")

    @classmethod
    def read(cls, names: str | Iterable[str]) -> frozenset[RetryOn]:
        """Return the members of these names, which a text separates by commas; it may be empty.

        Raises:
            SettingsError: there is no such name; the text lists those that there are.
        """
        given = names.split(",") if isinstance(names, str) else names
        return frozenset(cls(name.strip()) for name in given if name.strip())


def ending(taskset: TaskSet, decision: bool | Stop, retry_on: Collection[RetryOn]) -> tuple[Outcome, str]:
    """Return the outcome of a run that its handler has just ended, and the reason if there is one.

    Args:
        taskset: its tasks have the run's jobs.
        decision: what the handler returned.
        retry_on: what makes the run a `BOARD_ERROR`, so that there is another attempt.
    """
    outcome = Outcome.FINISHED if taskset.is_terminated else Outcome.STOPPED_BY_RULE
    reason = brief(decision.reason) if isinstance(decision, Stop) else ""
    if faults := list(_faults(taskset, outcome, retry_on)):
        return Outcome.BOARD_ERROR, brief("; ".join(filter(None, (*faults, reason))))
    return outcome, reason


def _faults(taskset: TaskSet, outcome: Outcome, retry_on: Collection[RetryOn]) -> Iterator[str]:
    for task in taskset if retry_on else ():
        exits = {job.exit_type for job in task.jobs}
        for end in (end for end in RetryOn if end in retry_on and end in exits):
            yield f"task {task.id} ended with {end}"
        expected = task.expected_jobs or 0
        is_complete = outcome is not Outcome.FINISHED or task.ended_jobs >= expected
        if RetryOn.TOO_FEW_JOBS in retry_on and not is_complete:
            yield f"task {task.id} ended with {RetryOn.TOO_FEW_JOBS} ({task.ended_jobs} of {expected})"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task-set, with the history of the attempts before it."""

    number: int = 1
    tried: tuple[str, ...] = ()
    """The boards of earlier attempts."""
    reasons: tuple[str, ...] = ()
    """Why each earlier attempt had no result."""

    def next(self, board: str, reason: str) -> Self:
        """Return the attempt after this one, which had no result on `board`."""
        return type(self)(
            self.number + 1,
            self.tried if board in self.tried else (*self.tried, board),
            (*self.reasons, f"attempt {self.number} on {board}: {reason}"),
        )

    def prefers(self, board: str) -> bool:
        """Whether no attempt has been lost on this board yet."""
        return board not in self.tried

    def accepts(self, board: str, has_others: Callable[[Collection[str]], bool]) -> bool:
        """Whether to run on this board now: one that was already tried is used only if there is no other.

        Args:
            board: the board that is free.
            has_others: whether a board is available besides those given.
        """
        return self.prefers(board) or not has_others(self.tried)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a task-set is attempted before it has failed.

    Raises:
        SettingsError: `max_attempts` is not a whole number of 1 or more.
    """

    max_attempts: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            raise SettingsError(
                f"max_attempts has to be a whole number of 1 or more, not {self.max_attempts!r}"
            )

    def allows(self, attempt: Attempt) -> bool:
        """Whether this attempt may be made."""
        return attempt.number <= self.max_attempts
