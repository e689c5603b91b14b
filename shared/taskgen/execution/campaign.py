"""The variants of some task-sets, given to boards until each has a result or has failed."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from typing_extensions import override

from taskgen.errors import TaskSetError
from taskgen.execution.assignment import Assignment, AssignmentSource
from taskgen.retry_policy import RetryPolicy
from taskgen.run import CampaignFacts, Outcome, Run, variant_text
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

_MAX_REFUSED: Final = 10_000
"""In a row; checking them takes half a second, during which no board is served."""


@dataclass(frozen=True, slots=True)
class FailedTaskSet:
    """A variant that has failed, or a task-set that could not be run at all."""

    source: str
    """The source of the task-set."""
    variant: int | None
    """Number of the variant in `TaskSet.variants()`, from 0; None: the task-set itself was refused."""
    reasons: tuple[str, ...]
    """Why each attempt had no result, with its board, or why there was none."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Those that vary, with the values of this variant."""

    @property
    def name(self) -> str:
        """Its source, and the variant with its parameters."""
        if self.variant is None:
            return self.source
        return f"{self.source}, {variant_text(self.variant, self.parameters)}"

    def __str__(self) -> str:
        return f"{self.name}: {'; '.join(self.reasons)}"


class Campaign:
    """What `Distributor.start` returns: the variants still to be run, and the results of the others.

    Args:
        tasksets: drawn one by one as boards become free, as are the variants of each.
        session_params: passed to the session with every variant.
        retry_policy: how often a variant is attempted.
        check: returns a validated task-set or variant, or raises `TaskSetError`.
        facts: the stored facts about the campaign.
    """

    def __init__(
        self,
        tasksets: Iterable[TaskSet],
        session_params: tuple[Any, ...],
        retry_policy: RetryPolicy,
        check: Callable[[TaskSet], TaskSet],
        facts: CampaignFacts | None = None,
    ) -> None:
        self.facts = facts
        """Its stored facts: id, name and provenance."""
        self.outcomes: Counter[Outcome] = Counter()
        """Number of ended runs by outcome, including attempts without a result."""
        self.failed: list[FailedTaskSet] = []
        """The variants that failed, and the task-sets that were refused."""
        self.running = 0
        """Number of variants that boards are running."""
        self.is_stopped = False
        """Whether the variants that had not begun were cancelled."""
        self._retry_policy = retry_policy
        self._check = check
        self._requeued: deque[Assignment] = deque()
        self._drawn = self._draw(iter(tasksets), session_params)
        self._next = next(self._drawn, None)

    @property
    def bad(self) -> list[FailedTaskSet]:
        """The former name of `failed`."""
        return self.failed

    @property
    def is_done(self) -> bool:
        """Whether every variant has a result, has failed or was cancelled."""
        return not self.running and not self.has_work

    @property
    def results(self) -> int:
        """How many variants have a result."""
        outcomes = self.outcomes.copy()  # another thread may be counting
        return sum(count for outcome, count in outcomes.items() if outcome.is_result)

    @property
    def has_work(self) -> bool:
        """Whether a variant is waiting for a board."""
        return not self.is_stopped and (self._next is not None or bool(self._requeued))

    def take(self, board: str, has_others: Callable[[Collection[str]], bool]) -> Assignment | None:
        """Return the next variant for this board, requeued ones first; None if there is none now.

        Args:
            board: the board that is free.
            has_others: whether a board is available besides those given.
        """
        if self.is_stopped:
            return None
        for assignment in self._requeued:
            if assignment.attempt.accepts(board, has_others):
                self._requeued.remove(assignment)
                self.running += 1
                return assignment
        taken = self._next
        if taken is not None:
            self._next = next(self._drawn, None)
            self.running += 1
        return taken

    def give_back(self, assignment: Assignment) -> None:
        """Requeue, at the front, a variant that was not begun."""
        self.running -= 1
        self._requeued.appendleft(assignment)

    def refused(self, assignment: Assignment, reason: str) -> None:
        """A variant has failed, because no board of this kind can run it."""
        self.running -= 1
        self._fail(assignment, (reason,))

    def ended(self, assignment: Assignment, run: Run) -> None:
        """Count a run; without a result, its variant is requeued at the front or has failed."""
        self.running -= 1
        outcome = run.outcome or Outcome.BOARD_LOST
        self.outcomes[outcome] += 1
        if outcome.is_result:
            return
        assignment.attempt = assignment.attempt.next(run.board, run.reason or outcome)
        if self._retry_policy.allows(assignment.attempt):
            self._requeued.appendleft(assignment)
        else:
            self._fail(assignment, assignment.attempt.reasons)

    def _fail(self, assignment: Assignment, reasons: tuple[str, ...]) -> None:
        taskset = assignment.taskset
        self.failed.append(FailedTaskSet(taskset.source, assignment.variant, reasons, taskset.parameters))

    def stop(self) -> None:
        """Cancel the variants that have not begun."""
        self.is_stopped = True
        self._requeued.clear()

    def _draw(self, tasksets: Iterator[TaskSet], session_params: tuple[Any, ...]) -> Iterator[Assignment]:
        fruitless = 0
        for number, taskset in self._accepted(tasksets):
            fruitless += 1
            for variant, drawn in self._accepted(map(self._check, taskset.variants()), taskset):
                fruitless = 0
                yield Assignment(drawn, session_params, variant, campaign=self.facts)
            if fruitless == _MAX_REFUSED:
                reason = f"the last of {fruitless:,} in a row without a valid variant; no more are drawn"
                self.failed.append(FailedTaskSet(f"task-set {number}", None, (reason,)))
                return

    def _accepted(self, drawn: Iterator[TaskSet], of: TaskSet | None = None) -> Iterator[tuple[int, TaskSet]]:
        """Number the drawn items, from 0; one that raises `TaskSetError` has failed, and the rest follows.

        Args:
            drawn: task-sets, or the variants of one.
            of: the task-set whose variants they are.
        """
        refused = 0
        for number in count(0 if of is None else of.first_variant):
            try:
                found = next(drawn, None)
            except TaskSetError as error:
                reason, refused = brief(error), refused + 1
                if refused == _MAX_REFUSED:  # boards are waiting, and the generator may be infinite
                    reason += f"; {refused:,} refused in a row, no more are drawn"
                failed = FailedTaskSet(f"task-set {number}", None, (reason,))
                if of is not None:
                    failed = FailedTaskSet(of.source, number, (reason,))
                self.failed.append(failed)
                if refused == _MAX_REFUSED:
                    return
                continue
            if found is None:
                return
            refused = 0
            yield number, found


class CampaignSource(AssignmentSource):
    """The work of a distributor in one process: one campaign after the other.

    Args:
        has_others: whether a board is available besides those given.
    """

    def __init__(self, has_others: Callable[[Collection[str]], bool]) -> None:
        self._has_others = has_others
        self._campaign: Campaign | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self.done = threading.Event()
        """Set while no campaign is in progress; other threads wait for it."""
        self.done.set()

    def begin(self, campaign: Campaign) -> None:
        """Give the boards this campaign; the previous one is done."""
        self._campaign = campaign
        self._changed()

    def stop(self) -> None:
        """Cancel the variants of the campaign that have not begun."""
        if self._campaign is not None:
            self._campaign.stop()
            self._changed()

    @override
    async def take(self, board: str) -> Assignment:
        while self._campaign is None or (found := self._campaign.take(board, self._has_others)) is None:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(woken)
            try:
                await woken
            finally:
                self._waiting.discard(woken)
        return found

    @override
    def give_back(self, assignment: Assignment) -> None:
        self._current.give_back(assignment)
        self._changed()

    @override
    def refused(self, assignment: Assignment, reason: str) -> None:
        self._current.refused(assignment, reason)
        self._changed()

    @override
    def begun(self, assignment: Assignment, run: Run) -> None:
        pass  # counted when it was taken

    @override
    def ended(self, assignment: Assignment, run: Run) -> None:
        self._current.ended(assignment, run)
        self._changed()

    @override
    def boards_changed(self) -> None:
        self._changed()

    @property
    def _current(self) -> Campaign:
        if self._campaign is None:
            raise RuntimeError("no campaign was begun")
        return self._campaign

    def _changed(self) -> None:
        """Wake the boards if there may be work for them, and those who wait for the end of the campaign."""
        if self._campaign is None:
            return
        if self._campaign.is_done:
            self.done.set()
        else:
            self.done.clear()
        for woken in self._waiting if self._campaign.has_work else ():
            if not woken.done():
                woken.set_result(None)
