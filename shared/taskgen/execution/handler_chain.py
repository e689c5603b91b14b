"""Calls several handlers, so that the failure of one affects neither the others nor the run."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from taskgen.backoff import Backoff, Patience
from taskgen.errors import StoreUnavailableError, TaskgenError
from taskgen.event import AbstractEventHandler, CommittingHandler, Profile, Quarantined, Stop
from taskgen.run import Outcome
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_RAISED: Final = BaseException
"""Errors that a user's code may raise: `sys.exit()` and asyncio's `CancelledError` would also end the
thread that serves every run. Ctrl-C is raised in another thread."""


class HandlerChain:
    """The handlers of a distributor; the first decides, the others observe.

    Those that store are called before the others, so that they store exactly what the board sent, even
    if a user's handler changes the shared dictionary. Every failure is counted; the first of each kind
    is logged with its traceback.
    """

    def __init__(self, handlers: Sequence[AbstractEventHandler]) -> None:
        self._decider = handlers[0] if handlers else None
        self._stores = [handler for handler in handlers if isinstance(handler, CommittingHandler)]
        others = [handler for handler in handlers if not isinstance(handler, CommittingHandler)]
        self._handlers = (*self._stores, *others)
        self.failures: Counter[str] = Counter()
        """Number of failures of each kind."""
        self.patience = Patience()
        """How long unavailable stores are retried."""

    def start(self, taskset: TaskSet) -> None:
        """Call every handler for the start of a run."""
        for handler in self._handlers:
            self._guarded(handler, partial(handler.__taskset_start__, taskset))

    def event(self, taskset: TaskSet, profile: Profile) -> bool | Stop:
        """Pass a profile to every handler; return the first one's decision on whether the run continues."""
        decision: bool | Stop | None = None
        for handler in self._handlers:
            answer = self._answer(handler, taskset, profile)
            if handler is self._decider:
                decision = answer
        return self._default_decision(taskset, profile) if decision is None else decision

    def end(self, taskset: TaskSet) -> None:
        """Call every handler for the end of a run, whose outcome is set."""
        is_finished = taskset.run is not None and taskset.run.outcome is Outcome.FINISHED
        for handler in self._handlers:
            call = handler.__taskset_finish__ if is_finished else handler.__taskset_stop__
            self._guarded(handler, partial(call, taskset))
        if taskset.run is not None and taskset.run.results:
            for store in self._stores:
                self._guarded(store, partial(store.take_results, taskset))

    def quarantine(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Pass bytes that are not events to every handler."""
        for handler in self._handlers:
            self._guarded(handler, partial(handler.__taskset_quarantine__, taskset, quarantined))

    def report(self, name: str, error: BaseException) -> None:
        """Count a failure; log the first of its kind, with a traceback unless it is a `TaskgenError`."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{name} raised {type(error).__name__} at {last.filename}:{last.lineno}"
        if self._is_first(kind):
            is_ours = isinstance(error, TaskgenError)
            log.error(
                "%s; continuing; further failures of this kind are only counted",
                kind,
                exc_info=None if is_ours else error,
            )

    def begin(self) -> None:
        """Begin a batch in every store."""
        for store in self._stores:
            store.begin()

    def commit(self) -> None:
        """Commit the batch in every store; a store that is unavailable is retried with exponential back-off.

        If the store refuses the batch, or is still unavailable when the process has to end, the batch and the
        rest of its runs are given up.
        """
        for store in self._stores:
            backoff = Backoff()
            while (pause_s := self._pause_after_commit(store, backoff)) is not None:
                self.patience.pause(pause_s)

    def _pause_after_commit(self, store: CommittingHandler, backoff: Backoff) -> float | None:
        """Commit once; return how long to pause before the next attempt, or None if there is to be none."""
        try:
            store.commit()
        except StoreUnavailableError as error:
            if not self.patience.is_over:
                pause_s = self.patience.next_pause_s(backoff.next_pause_s())
                log.warning("%s: %s; retrying in %.1f s", type(store).__name__, brief(error), pause_s)
                return pause_s
            self._lose(store, error)
        except _RAISED as error:  # a broken store must not affect the others
            self._lose(store, error)
        return None

    def _lose(self, store: CommittingHandler, error: BaseException) -> None:
        self.report(type(store).__name__, error)
        log.error(
            "%s: could not store a batch, which is lost in this store: %s", type(store).__name__, brief(error)
        )
        self._guarded(store, partial(store.give_up, brief(error)))

    def _answer(
        self, handler: AbstractEventHandler, taskset: TaskSet, profile: Profile
    ) -> bool | Stop | None:
        """Call a handler; return the decision of the first, or None if it raised or only observes."""
        try:
            answer: object = handler.__taskset_event__(taskset, profile)
            if handler is not self._decider:
                return None
            if isinstance(answer, Stop):
                return answer
            if answer is not None:
                return bool(answer)  # an array of several elements raises here
        except _RAISED as error:
            self.report(type(handler).__name__, error)
            return None
        self._report_no_decision(handler)
        return None

    def _default_decision(self, taskset: TaskSet, profile: Profile) -> bool:
        """Decide as `DefaultEventHandler` does, if the first handler raised or returned nothing."""
        taskset.apply(profile)
        return not taskset.is_terminated

    def _report_no_decision(self, handler: AbstractEventHandler) -> None:
        if self._is_first(f"{type(handler).__name__} returned no decision"):
            log.error(
                "%s.__taskset_event__ has to return True or False; until it does, a run ends when all of its "
                "tasks have terminated",
                type(handler).__name__,
            )

    def _guarded(self, handler: AbstractEventHandler, call: Callable[[], None]) -> None:
        try:
            call()
        except _RAISED as error:
            self.report(type(handler).__name__, error)

    def _is_first(self, kind: str) -> bool:
        """Count a failure; return whether it is the first of its kind."""
        self.failures[kind] += 1
        return self.failures[kind] == 1
