"""All variants of some task-sets, each until it has a result or is given up."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from taskgen.errors import TaskSetError
from taskgen.execution.assignment import Assignment
from taskgen.retry_policy import RetryPolicy
from taskgen.run import Outcome, Run
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

_MAX_REFUSED: Final = 10_000
"""Of one task-set, one after the other: half a second, in which no board is served."""


@dataclass(frozen=True, slots=True)
class FailedTaskSet:
    """A variant that was given up."""

    source: str
    """Where the task-set was read from."""
    variant: int
    """Number of the variant in `TaskSet.variants()`, from 0."""
    reasons: tuple[str, ...]
    """Of every attempt, with its board; or why it was refused before any."""

    def __str__(self) -> str:
        return f"{self.source}, variant {self.variant}: {'; '.join(self.reasons)}"


class Campaign:
    """What `Distributor.start` returns: what is still to be run, and what has become of the rest.

    Args:
        tasksets: each with all its variants, drawn one by one as boards become free.
        session_params: for the session, with every variant.
        retry_policy: how often a variant is attempted.
        check: validates a variant, or raises `TaskSetError`.
    """

    def __init__(
        self,
        tasksets: Iterable[TaskSet],
        session_params: tuple[Any, ...],
        retry_policy: RetryPolicy,
        check: Callable[[TaskSet], TaskSet],
    ) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        """How many runs have ended, by their outcome; attempts without a result included."""
        self.bad: list[FailedTaskSet] = []
        """Variants that were given up."""
        self.running = 0
        """How many variants are with a board now."""
        self.is_stopped = False
        """Whether variants that had not begun were cancelled."""
        self._retry_policy = retry_policy
        self._check = check
        self._again: deque[Assignment] = deque()
        self._fresh = self._draw(list(tasksets), session_params)
        self._ahead = next(self._fresh, None)

    @property
    def is_done(self) -> bool:
        """Whether every variant has a result or was given up, or the rest was called off."""
        return not self.running and not self.has_work

    @property
    def results(self) -> int:
        """How many variants have a result."""
        outcomes = self.outcomes.copy()  # another thread counts on meanwhile
        return sum(count for outcome, count in outcomes.items() if outcome.is_result)

    @property
    def has_work(self) -> bool:
        """Whether there is a variant that no board has."""
        return not self.is_stopped and (self._ahead is not None or bool(self._again))

    def take(self, board: str, has_others: Callable[[Collection[str]], bool]) -> Assignment | None:
        """The next variant for this board, those that lost theirs first; None if there is none now.

        Args:
            board: who asks.
            has_others: whether a board is there now besides the ones given.
        """
        if self.is_stopped:
            return None
        for assignment in self._again:
            if assignment.attempt.accepts(board, has_others):
                self._again.remove(assignment)
                self.running += 1
                return assignment
        drawn = self._ahead
        if drawn is not None:
            self._ahead = next(self._fresh, None)
            self.running += 1
        return drawn

    def give_back(self, assignment: Assignment) -> None:
        """Put it in front again: it was not begun."""
        self.running -= 1
        self._again.appendleft(assignment)

    def ended(self, assignment: Assignment, run: Run) -> None:
        """Count a run; without a result its variant goes to the front again, or is given up."""
        self.running -= 1
        outcome = run.outcome or Outcome.BOARD_LOST
        self.outcomes[outcome] += 1
        if outcome.is_result:
            return
        assignment.attempt = assignment.attempt.next(run.board, run.reason or outcome)
        if self._retry_policy.allows(assignment.attempt):
            self._again.appendleft(assignment)
        else:
            self._give_up(assignment)

    def stop(self) -> None:
        """Call off what has not begun."""
        self.is_stopped = True
        self._again.clear()

    def _give_up(self, assignment: Assignment) -> None:
        failed = FailedTaskSet(assignment.taskset.source, assignment.variant, assignment.attempt.reasons)
        self.bad.append(failed)

    def _draw(self, tasksets: list[TaskSet], session_params: tuple[Any, ...]) -> Iterator[Assignment]:
        for taskset in tasksets:
            refused = 0
            for number, variant in enumerate(_drawn(taskset)):
                try:
                    assignment = self._assignment(variant, session_params, number)
                except TaskSetError as error:
                    reason, refused = brief(error), refused + 1
                    if refused == _MAX_REFUSED:  # boards wait, and its generator may go on for ever
                        reason += f"; {refused:,} refused one after the other: no more of it is drawn"
                    self.bad.append(FailedTaskSet(taskset.source, number, (reason,)))
                    if refused == _MAX_REFUSED:
                        break
                else:
                    refused = 0
                    yield assignment

    def _assignment(
        self, variant: TaskSet | TaskSetError, session_params: tuple[Any, ...], number: int
    ) -> Assignment:
        if isinstance(variant, TaskSetError):
            raise variant
        return Assignment(self._check(variant), session_params, number)


def _drawn(taskset: TaskSet) -> Iterator[TaskSet | TaskSetError]:
    """The variants; an error of the user's own generator ends them and stands last."""
    try:
        yield from taskset.variants()
    except TaskSetError as error:
        yield error
