"""A handler behind a queue, called as in one process: in order, with the jobs, and also after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

from typing_extensions import override

from taskgen.amqp.channel import Channel, Delivery
from taskgen.consumer.consumer import Processor
from taskgen.consumer.outgoing import OutgoingMessages
from taskgen.consumer.tracked_run import (
    OrderedMessage,
    StartedRun,
    TrackedRun,
    TrackedRuns,
    new_run,
    taskset_of,
    unseen,
)
from taskgen.errors import MessageError, StoreUnavailableError, TaskgenError, UnreadableError, UnstorableError
from taskgen.event import AbstractEventHandler
from taskgen.event_columns import ProfileOfRun
from taskgen.events.base import StoringHandler
from taskgen.execution.handler_chain import HandlerChain
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    Message,
    QuarantinedMessage,
    RefusedMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.retry_policy import RetryOn, ending
from taskgen.run import Outcome
from taskgen.state.state import (
    Changes,
    OutOfOrderRow,
    RunRow,
    State,
    TaskSetRow,
    TaskSetState,
)
from taskgen.taskset import TaskSet

log = logging.getLogger(__name__)

_MAX_BEFORE_START: Final = 1_000
"""A run with more messages than this and no start began before the queue existed; it is ignored."""
_FLUSH_EVERY: Final = 16
"""Flush after this many out-of-order messages: closing a gap may release any number of them."""


class RunObserver:
    """Reacts to what a tracker learns about runs; this base class does nothing.

    All methods are called in the tracker's thread. They may add to `RunTracker.changes`.
    """

    def message_taken(self, head: RunHead) -> None:
        """A message of a run has arrived."""

    def load(self) -> None:
        """The state belongs to this process now: read what is needed of it, instead of what was known."""

    def run_started(self, run: StartedRun, message: TaskSetMessage) -> None:
        """A run has started."""

    def run_decided(self, row: RunRow) -> None:
        """The handler has decided for the first time that a run is over."""

    def run_ended(self, row: RunRow, former: str | None) -> None:
        """The closing message of a run has arrived; `former` is an outcome that was assumed before."""

    def results_recorded(self, row: RunRow, results: Mapping[str, Any]) -> None:
        """The handler has recorded results of a run that has ended; by default they are not stored."""
        log.warning(
            "run %s: recorded results are not stored: %s; only the controller's handler can record results",
            row.run_id,
            ", ".join(results),
        )

    def run_abandoned(self, row: RunRow, former: str | None) -> None:
        """A run was closed because its state is invalid; `former` is its outcome before."""

    def taskset_refused(self, message: RefusedMessage) -> None:
        """A task-set will not be run."""


class RunTracker(Processor):
    """Follows runs by their messages and calls a handler.

    Messages are applied in `commit`, which brings state and handler to the same point. A handler is called
    a second time for the same events only after a crash between the call and the commit.

    Args:
        handler: called in one thread, one call at a time.
        state: remembers the runs; belongs to this handler alone.
        observer: reacts to changes of runs, such as the handler's decisions.
        retry_on: see `retry_policy.ending`.
    """

    def __init__(
        self,
        handler: AbstractEventHandler,
        state: State,
        observer: RunObserver | None = None,
        retry_on: Collection[RetryOn] = (),
    ) -> None:
        self._handlers = HandlerChain([handler])
        self._store = handler if isinstance(handler, StoringHandler) else None
        self._state = state
        self._observer = observer or RunObserver()
        self._retry_on = retry_on
        self._taken: deque[Callable[[], None]] = deque()  # each applies one message
        self._tracked = TrackedRuns(state)
        self._ignored: set[str] = set()
        self._is_claimed = False
        self._is_loaded = False
        self.changes = Changes()
        """What the next `flush` writes."""
        self.outgoing = OutgoingMessages()
        """Written together with the state, and published after each batch."""
        if self._store is not None:
            self._store.begin()

    @override
    def check(self) -> None:
        self._state.check_writable()
        if self._store is not None:
            self._store.check()

    @override
    def begin(self) -> None:
        self._state.check()

    @override
    def take(self, message: Message, delivery: Delivery) -> None:
        match message:
            case StartedMessage():
                apply = partial(self._apply_start, message, taskset_of(message))
            case EventsMessage() | EndedMessage():
                apply = partial(self._apply_ordered, message)
            case QuarantinedMessage():
                apply = partial(self._apply_quarantined, message)
            case RefusedMessage():
                apply = partial(self._observer.taskset_refused, message)
            case _:
                raise MessageError(f"a {message.kind} message does not belong in this queue")
        self._taken.append(apply)
        if not isinstance(message, RefusedMessage) and message.run is not None:
            self._observer.message_taken(message.run)

    @override
    def commit(self) -> None:
        """Apply and write the batch; after a `StoreUnavailableError` it continues where it stopped."""
        try:
            if self._taken:
                self.claim()
            while self._taken:
                self._taken[0]()
                self._taken.popleft()
            self.flush()
        except StoreUnavailableError:
            raise
        except TaskgenError:
            self._forget()  # the collected changes can never be written: start over from the state
            raise
        except Exception as error:  # whatever it is, one message must not end the service repeatedly
            self._forget()
            log.exception("internal error in taskgen, caused by one of %d messages", len(self._taken))
            raise UnstorableError(f"internal error in taskgen: {error!r:.200}") from error

    @override
    def abandon(self) -> None:
        """Drop the batch; what was applied already is a duplicate when it is delivered again."""
        self._taken.clear()
        self._is_claimed = False

    @override
    async def committed(self, channel: Channel) -> None:
        if sent := await self.outgoing.publish(channel):
            await asyncio.to_thread(self.mark_sent, sent)  # the tracker's thread is idle meanwhile

    def mark_sent(self, sent: list[str]) -> None:
        """Remove messages from the state that the broker has confirmed."""
        self.changes.sent += sent
        try:
            self.flush()
        except StoreUnavailableError as error:
            log.info("messages will be marked as sent with the next batch: %s", error)

    def claim(self) -> None:
        """Make sure that the state is ours; if another process had it meanwhile, read it again.

        What follows from reading is written by the next `flush`.
        """
        if not self._is_claimed:
            if not self._state.claim():
                self._forget()
            self._is_claimed = True
        if not self._is_loaded:
            messages = self._state.outgoing()
            self._observer.load()
            self.outgoing.clear()
            self.outgoing.add(messages)
            self._is_loaded = True

    def flush(self) -> None:
        """Have the handler and the state store everything applied so far."""
        if self._store is not None:
            self._store.commit()
            self._store.begin()
        for run in self._tracked.runs.values():
            if run is not None and run.started is not None:
                self.changes.jobs.extend(run.started.changed_jobs())
        if self.changes:
            self._state.write(self.changes)
            written, self.changes = self.changes, Changes()
            self.outgoing.add(written.outgoing)
        self._tracked.release()

    def started_run(self, run_id: str) -> StartedRun | None:
        """A run that has started and is not closed."""
        run = self._open_run(run_id)
        return run.started if run else None

    def taskset(self, taskset_id: str) -> TaskSetRow | None:
        """A task-set, if it is known."""
        return self._tracked.taskset(taskset_id)

    def keep_taskset(self, row: TaskSetRow) -> None:
        """Keep a task-set, new or changed."""
        self._tracked.tasksets[row.taskset_id] = self.changes.tasksets[row.taskset_id] = row

    def abandon_run(self, row: RunRow, error: UnreadableError) -> None:
        """Close a run whose state is invalid, so that the others continue."""
        self.taskset(row.taskset_id)  # read first: nothing may fail after the first change
        log.error("run %s is closed because its state is invalid: %s", row.run_id, error)
        former, row.decision, row.is_closed = row.outcome, None, True
        row.outcome = row.outcome or Outcome.DISTRIBUTOR_LOST.value
        row.reason = row.reason or f"its state is invalid: {error}"
        self.changes.runs[row.run_id] = row
        self._drop_out_of_order(row.run_id)
        self._tracked.runs[row.run_id] = None
        self._observer.run_abandoned(row, former)

    def _forget(self) -> None:
        self._tracked.clear()
        self.changes = Changes()
        self._is_loaded = False
        if self._store is not None:
            self._store.abandon()
            self._store.begin()

    def _open_run(self, run_id: str) -> TrackedRun | None:
        """A run; None if it is ignored, or closed, be it now because its state is unusable."""
        if run_id in self._ignored:
            return None
        try:
            return self._tracked.run(run_id)
        except UnreadableError as error:
            self.abandon_run(self._state.rest_of_run(run_id), error)
            return None

    def _apply_quarantined(self, message: QuarantinedMessage) -> None:
        started = self.started_run(message.run.run_id) if message.run else None
        self._handlers.quarantine(started.taskset if started else None, message.quarantined())

    def _apply_start(self, message: StartedMessage, taskset: TaskSet) -> None:
        run = self._open_run(message.run.run_id)
        if run is not None:
            if run.started is None:
                run.started = self._start(message, taskset)
            self._apply_due(run)

    def _start(self, message: StartedMessage, taskset: TaskSet) -> StartedRun:
        self.taskset(message.run.taskset_id)  # read now, as in `abandon_run`
        started = new_run(message, taskset)
        row = self.changes.runs[message.run.run_id] = started.row
        self._handlers.start(taskset)
        self._observer.run_started(started, message.taskset)
        if self.taskset(row.taskset_id) is None:
            body, state = message.taskset.body().decode(), TaskSetState.RUNNING.value
            self.keep_taskset(TaskSetRow(row.taskset_id, row.campaign_id, state, None, body))
        return started

    def _apply_ordered(self, message: OrderedMessage) -> None:
        run = self._open_run(message.run.run_id)
        if run is None:
            return
        if run.started is not None and run.is_due(message):
            self._apply_in_order(run, run.started, message)
        else:
            self._keep_out_of_order(run, message)
        self._apply_due(run)

    def _apply_in_order(self, run: TrackedRun, started: StartedRun, message: OrderedMessage) -> None:
        row = self.changes.runs[run.run_id] = started.row
        if isinstance(message, EventsMessage):
            for profile in message.profiles:
                self._apply_events(started, profile)
        elif row.events is None:
            former, row.outcome = row.outcome, message.outcome.value
            row.reason, row.ended_at, row.events = message.reason, message.ended_at, message.events
            self._observer.run_ended(row, former)
        if row.events is not None and row.next_seq >= row.events:
            self._close(run, started)

    def _apply_events(self, started: StartedRun, profile: ProfileOfRun) -> None:
        row, run, taskset = started.row, started.run, started.taskset
        new = unseen(profile, row.next_seq)
        if new is None:
            return
        run.first_seq, run.received_at = max(profile.first_seq, row.next_seq), profile.received_at
        decision = self._handlers.event(taskset, new)
        taskset.apply(new)  # for handlers that leave the tasks alone; a second time changes nothing
        started.touched.update([event["@task-id"] for event in new["profile"]["events"]["event"]])
        row.next_seq = profile.next_seq
        if not decision and row.decision is None:
            outcome, row.decided_because = ending(taskset, decision, self._retry_on)
            row.decision = outcome.value
            self._observer.run_decided(row)

    def _apply_due(self, run: TrackedRun) -> None:
        """Apply the out-of-order messages whose turn has come."""
        number = 0
        while run.started is not None and (message_id := run.out_of_order.due(run.started.row.next_seq)):
            kept = self.changes.out_of_order.get(message_id)
            body = kept.body if kept else self._state.out_of_order_body(message_id)
            try:
                message = run.out_of_order.read(message_id, body)
            except UnreadableError as error:
                self.abandon_run(run.started.row, error)
                self._report_end(run.started)
                return
            run.out_of_order.remove_due()
            if self.changes.out_of_order.pop(message_id, None) is None:
                self.changes.applied_messages.add(message_id)
            self._apply_in_order(run, run.started, message)
            number += 1
            if number % _FLUSH_EVERY == 0:
                self.flush()

    def _close(self, run: TrackedRun, started: StartedRun) -> None:
        """Close a run that was handled completely; messages still out of order are duplicates."""
        self._report_end(started)
        started.row.is_closed = True
        self.changes.jobs.extend(started.changed_jobs())
        run.out_of_order.clear()
        self._drop_out_of_order(run.run_id)
        self._tracked.runs[run.run_id] = None

    def _report_end(self, started: StartedRun) -> None:
        started.close()
        self._handlers.end(started.taskset)
        if started.run.results:
            self._observer.results_recorded(started.row, started.run.results)

    def _keep_out_of_order(self, run: TrackedRun, message: OrderedMessage) -> None:
        if not run.out_of_order.add(message.message_id):
            return
        row = OutOfOrderRow(message.message_id, run.run_id, message.body().decode())
        self.changes.out_of_order[message.message_id] = row
        if run.started is None and len(run.out_of_order) > _MAX_BEFORE_START:
            log.warning("run %s is ignored: its start was not received", run.run_id)
            self._ignored.add(run.run_id)
            run.out_of_order.clear()
            self._drop_out_of_order(run.run_id)

    def _drop_out_of_order(self, run_id: str) -> None:
        """Drop all out-of-order messages of a run, in memory and in the state."""
        kept = self.changes.out_of_order
        self.changes.out_of_order = {key: row for key, row in kept.items() if row.run_id != run_id}
        self.changes.runs_without_messages.add(run_id)
