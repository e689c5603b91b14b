"""Calling several handlers so that none can hurt the others, the run, or what was received."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from taskgen.backoff import Backoff, Patience
from taskgen.errors import StoreUnavailableError, TaskgenError
from taskgen.event import AbstractEventHandler, CommittingHandler, Profile, Quarantined
from taskgen.run import Outcome
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_RAISED: Final = BaseException
"""What a user's code may raise: `sys.exit()` or asyncio's `CancelledError` too would end the thread that
serves every run. A Ctrl-C of the user is told in another thread."""


class HandlerChain:
    """The handlers of a distributor; the first decides, the others watch.

    Those that store are called before the others, so that what is stored is what the board said, whatever
    a user's handler does to the dictionary that they share. One that raises is reported with its traceback
    once per kind of failure, and counted always.
    """

    def __init__(self, handlers: Sequence[AbstractEventHandler]) -> None:
        self._decider = handlers[0] if handlers else None
        self._stores = [handler for handler in handlers if isinstance(handler, CommittingHandler)]
        others = [handler for handler in handlers if not isinstance(handler, CommittingHandler)]
        self._handlers = (*self._stores, *others)
        self.failures: Counter[str] = Counter()
        """How often which kind of failure happened."""
        self.patience = Patience()
        """With stores that cannot keep something now."""

    def start(self, taskset: TaskSet) -> None:
        """Tell all that a run begins."""
        for handler in self._handlers:
            self._guarded(handler, partial(handler.__taskset_start__, taskset))

    def event(self, taskset: TaskSet, profile: Profile) -> bool:
        """Give all a profile; returns the first one's word on whether the run continues."""
        decision: bool | None = None
        for handler in self._handlers:
            answer = self._answer(handler, taskset, profile)
            if handler is self._decider:
                decision = answer
        return self._default_decision(taskset, profile) if decision is None else decision

    def end(self, taskset: TaskSet) -> None:
        """Tell all that the run whose outcome is set has ended."""
        is_finished = taskset.run is not None and taskset.run.outcome is Outcome.FINISHED
        for handler in self._handlers:
            call = handler.__taskset_finish__ if is_finished else handler.__taskset_stop__
            self._guarded(handler, partial(call, taskset))

    def quarantine(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Give all what was received and is no event."""
        for handler in self._handlers:
            self._guarded(handler, partial(handler.__taskset_quarantine__, taskset, quarantined))

    def report(self, name: str, error: BaseException) -> None:
        """Count a failure, and tell the first one of its kind; with the traceback if it was not foreseen."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{name} raised {type(error).__name__} at {last.filename}:{last.lineno}"
        self.failures[kind] += 1
        if self.failures[kind] == 1:
            told = None if isinstance(error, TaskgenError) else error
            log.error("%s; it goes on, and this kind is only counted from now on", kind, exc_info=told)

    def begin(self) -> None:
        """From now on the stores collect."""
        for store in self._stores:
            store.begin()

    def commit(self) -> None:
        """Have the stores keep what they collected; one that cannot now is tried again until it can.

        What cannot be kept before the process has to end, or never, is given up, with all that follows of
        its runs.
        """
        for store in self._stores:
            backoff = Backoff()
            while (pause_s := self._pause_after_commit(store, backoff)) is not None:
                self.patience.pause(pause_s)

    def _pause_after_commit(self, store: CommittingHandler, backoff: Backoff) -> float | None:
        """Commit once; how long to pause before the next attempt, or None where none is to follow."""
        try:
            store.commit()
        except StoreUnavailableError as error:
            if not self.patience.is_over:
                pause_s = self.patience.next_pause_s(backoff.next_pause_s())
                log.warning("%s: %s; trying again in %.1f s", type(store).__name__, brief(error), pause_s)
                return pause_s
            self._lose(store, error)
        except _RAISED as error:  # one broken store must not end the others
            self._lose(store, error)
        return None

    def _lose(self, store: CommittingHandler, error: BaseException) -> None:
        self._report(store, error)
        log.error("%s: a batch could not be stored and is lost there: %s", type(store).__name__, brief(error))
        self._guarded(store, partial(store.give_up, brief(error)))

    def _answer(self, handler: AbstractEventHandler, taskset: TaskSet, profile: Profile) -> bool | None:
        """What the deciding handler says to a profile; None if it raised, and of those that watch."""
        try:
            answer: object = handler.__taskset_event__(taskset, profile)
            if handler is not self._decider:
                return None
            if answer is not None:
                return bool(answer)  # an array of several elements raises here
        except _RAISED as error:
            self._report(handler, error)
            return None
        self._report_no_decision(handler)
        return None

    def _default_decision(self, taskset: TaskSet, profile: Profile) -> bool:
        """The default's decision, where the deciding handler raised or forgot to return one."""
        taskset.apply(profile)
        return not taskset.is_terminated

    def _report_no_decision(self, handler: AbstractEventHandler) -> None:
        kind = f"{type(handler).__name__} gave no decision"
        self.failures[kind] += 1
        if self.failures[kind] == 1:
            log.error(
                "%s.__taskset_event__ has to return True or False; until it does, a run ends when all its "
                "tasks are terminated",
                type(handler).__name__,
            )

    def _guarded(self, handler: AbstractEventHandler, call: Callable[[], None]) -> None:
        try:
            call()
        except _RAISED as error:
            self._report(handler, error)

    def _report(self, handler: AbstractEventHandler, error: BaseException) -> None:
        self.report(type(handler).__name__, error)
