"""A handler behind a queue, called as in one process: in order, with the jobs, also after a restart."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final, Protocol

from taskgen.amqp.channel import Channel, Delivery
from taskgen.consumer import tracked_run as tracks
from taskgen.consumer.known_runs import KnownRuns
from taskgen.consumer.out_of_order import OutOfOrder
from taskgen.consumer.tracked_run import StartedRun, Taken, TrackedRun
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
    StartedMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome
from taskgen.state.rows import Changes, OutOfOrderRow, RunRow, TaskSetRow, TaskSetState
from taskgen.state.state import State

log = logging.getLogger(__name__)

_MAX_BEFORE_START: Final = 1_000
"""So many messages are kept of a run whose start has not come; it began before the queue was there."""
_EARLY_AT_ONCE: Final = 16
"""So many early messages are worked on before what follows is written: a gap may have held up any number."""


class RunObserver(Protocol):
    """What follows from what a `RunTracker` finds; all in the worker thread, before it is written."""

    def claimed(self) -> None:
        """The state is ours, and may have been another's."""

    def forgotten(self) -> None:
        """Nothing that was not written counts."""

    def written(self, changes: Changes) -> None:
        """Changes are durable now."""

    def started(self, known: StartedRun, message: TaskSetMessage) -> None:
        """A run has begun; the observer keeps its task-set."""

    def decided(self, known: StartedRun) -> None:
        """The handler has said for the first time that the run is over."""

    def ended(self, known: StartedRun, former: str | None) -> None:
        """The run's closing message came; `former` is an outcome that was assumed before."""

    def refused(self, message: RefusedMessage) -> None:
        """A task-set will not be run."""

    def given_up(self, row: RunRow, former: str | None) -> None:
        """A run was closed, as its state cannot be used; `former` is its outcome before."""


class RunTracker:
    """Follows runs by their messages and calls a handler; see `Processor`.

    What was taken is worked on in `commit`, which brings the state and the handler to the same point. A
    handler is called a second time for the same events only after a crash between the call and the commit.

    Args:
        handler: called in one thread, one call at a time.
        state: where runs are remembered; of this handler alone.
        observer: uses what the handler decides, and what becomes of the runs.
    """

    def __init__(
        self, handler: AbstractEventHandler, state: State, observer: RunObserver | None = None
    ) -> None:
        self._calls = HandlerChain([handler])
        self._store = handler if isinstance(handler, StoringHandler) else None
        self._state = state
        self._taken: deque[Taken] = deque()
        self._observer = observer
        self.runs = KnownRuns(state)
        self._passed_over: set[str] = set()
        self.changes = Changes()
        """What is to be written next; an observer adds its own."""
        self._is_claimed = False
        if self._store is not None:
            self._store.begin()

    def check(self) -> None:
        """See `Processor`."""
        self._state.check_writable()
        if self._store is not None:
            self._store.check()

    def begin(self) -> None:
        """See `Processor`."""
        self._state.check()

    def take(self, message: Message, delivery: Delivery) -> None:
        """See `Processor`."""
        if not isinstance(message, Taken):
            raise MessageError(f"a {message.kind} has no place in this queue")
        tracks.check(message)
        self._taken.append(message)

    def commit(self) -> None:
        """See `Processor`; after a `StoreUnavailableError` it goes on where it stopped."""
        try:
            if self._taken:
                self.claim()
            while self._taken:
                self._apply(self._taken[0])
                self._taken.popleft()
            self.flush()
        except StoreUnavailableError:
            raise
        except TaskgenError:
            self._forget()  # what was collected can never be written: begin again from the state
            raise
        except Exception as error:  # whatever it is: one message must not end the service again and again
            self._forget()
            log.exception("a fault of taskgen's own, with one of %d messages", len(self._taken))
            raise UnstorableError(f"a fault of taskgen's own: {error!r:.200}") from error

    def abandon(self) -> None:
        """See `Processor`: what was worked on stays, and is a duplicate when it is delivered again."""
        self._taken.clear()
        self._is_claimed = False

    async def committed(self, channel: Channel) -> None:
        """See `Processor`."""

    def claim(self) -> None:
        """Make sure that the state is ours; if another process had it meanwhile, forget what we knew."""
        if not self._is_claimed:
            if not self._state.claim():
                self._forget()
            self._is_claimed = True
        if self._observer is not None:
            self._observer.claimed()

    def flush(self) -> None:
        """Have the handler store and the state keep what has been worked on until now."""
        if self._store is not None:
            self._store.commit()
            self._store.begin()
        for track in self.runs.tracks.values():
            if track is not None and track.known is not None:
                self._collect_jobs(track.known)
        if self.changes:
            self._state.write(self.changes)
            written, self.changes = self.changes, Changes()
            if self._observer is not None:
                self._observer.written(written)
        self.runs.release()

    def _forget(self) -> None:
        self.runs.clear()
        self.changes = Changes()
        if self._store is not None:
            self._store.abandon()
            self._store.begin()
        if self._observer is not None:
            self._observer.forgotten()

    def track(self, run_id: str) -> TrackedRun | None:
        """A run; None if it is closed, or closed now, as what is known of it is unusable."""
        try:
            return self.runs.track(run_id)
        except UnreadableError as error:
            self.give_up_on(self._state.rest_of_run(run_id), error)
            return None

    def give_up_on(self, row: RunRow, error: UnreadableError) -> None:
        """Close a run of which the state holds what cannot be understood: the others go on."""
        self.runs.taskset(row.taskset_id)  # nothing that may fail now comes after the first change
        log.error("run %s is closed, as its state cannot be used: %s", row.run_id, error)
        former, row.decision, row.is_closed = row.outcome, None, True
        row.outcome = row.outcome or Outcome.DISTRIBUTOR_LOST.value
        row.reason = row.reason or f"its state cannot be used: {error}"
        self.changes.runs[row.run_id] = row
        self._drop_early(row.run_id)
        self.runs.tracks[row.run_id] = None
        if self._observer is not None:
            self._observer.given_up(row, former)

    def _apply(self, message: Taken) -> None:
        if isinstance(message, QuarantinedMessage):
            track = self.track(message.run.run_id) if message.run else None
            taskset = track.known.taskset if track and track.known else None
            self._calls.quarantine(taskset, message.quarantined())
            return
        if isinstance(message, RefusedMessage):
            if self._observer is not None:
                self._observer.refused(message)
            return
        track = self.track(message.run.run_id)
        if track is None or track.run_id in self._passed_over:
            return
        if isinstance(message, StartedMessage):
            self._start(track, message)
        elif track.is_its_turn(message):
            self._do(track, message)
        else:
            self._keep_early(track, message)
        self._do_early(track)

    def _do_early(self, track: TrackedRun) -> None:
        """Work on the early messages whose turn has come."""
        number = 0
        while track.known is not None and (message_id := track.early.due(track.known.row.next_seq)):
            kept = self.changes.early.get(message_id)
            body = kept.body if kept else self._state.early_message(message_id)
            try:
                message = track.early.read(message_id, body)
            except UnreadableError as error:
                self.give_up_on(track.known.row, error)
                self._tell_end(track.known)
                return
            track.early.remove_due()
            if self.changes.early.pop(message_id, None) is None:
                self.changes.no_longer_early.add(message_id)
            self._do(track, message)
            number += 1
            if number % _EARLY_AT_ONCE == 0:
                self.flush()

    def _start(self, track: TrackedRun, message: StartedMessage) -> None:
        if track.known is not None:
            return
        self.runs.taskset(message.run.taskset_id)  # as above
        known = track.known = tracks.begun(message.run, message.taskset)
        self.changes.runs[track.run_id] = known.row
        self._calls.start(known.taskset)
        if self._observer is not None:
            self._observer.started(known, message.taskset)
        else:
            self._keep_taskset(known.row, message.taskset)

    def _do(self, track: TrackedRun, message: OutOfOrder) -> None:
        """Work on a message whose turn it is."""
        known = track.known
        if known is None:
            return
        self.changes.runs[track.run_id] = known.row
        if isinstance(message, EventsMessage):
            for profile in message.profiles:
                self._event(known, profile)
        else:
            self._end(known, message)
        if known.row.events is not None and known.row.next_seq >= known.row.events:
            self._close(track, known)

    def _event(self, known: StartedRun, profile: ProfileOfRun) -> None:
        row, run = known.row, known.run
        new = tracks.not_yet_seen(profile, row.next_seq)
        if new is None:
            return
        run.first_seq, run.received_at = max(profile.first_seq, row.next_seq), profile.received_at
        is_running = self._calls.event(known.taskset, new)
        known.taskset.apply(new)  # for handlers that leave the tasks alone; changes nothing twice
        known.touched.update(event["@task-id"] for event in new["profile"]["events"]["event"])
        row.next_seq = profile.next_seq
        if not is_running and row.decision is None:
            is_finished = known.taskset.is_terminated
            row.decision = (Outcome.FINISHED if is_finished else Outcome.STOPPED_BY_RULE).value
            if self._observer is not None:
                self._observer.decided(known)

    def _end(self, known: StartedRun, message: EndedMessage) -> None:
        """Take the run's closing message; the handler is told when it has seen all events before it."""
        row = known.row
        if row.events is not None:
            return
        former, row.outcome = row.outcome, message.outcome.value
        row.reason, row.ended_at, row.events = message.reason, message.ended_at, message.events
        if self._observer is not None:
            self._observer.ended(known, former)

    def _close(self, track: TrackedRun, known: StartedRun) -> None:
        """Tell the handler of the end; what is still early has no events that are new."""
        self._tell_end(known)
        known.row.is_closed = True
        self._collect_jobs(known)
        track.early.clear()
        self._drop_early(track.run_id)
        self.runs.tracks[track.run_id] = None

    def _tell_end(self, known: StartedRun) -> None:
        known.close()
        self._calls.end(known.taskset)

    def _collect_jobs(self, known: StartedRun) -> None:
        for job in known.changed_jobs():
            self.changes.jobs[job.run_id, job.task_id, job.job] = job

    def _keep_early(self, track: TrackedRun, message: OutOfOrder) -> None:
        if not track.early.add(message):
            return
        row = OutOfOrderRow(message.message_id, track.run_id, message.body().decode())
        self.changes.early[message.message_id] = row
        if track.known is None and len(track.early) > _MAX_BEFORE_START:
            log.warning("run %s: passed over: its start was not seen", track.run_id)
            self._passed_over.add(track.run_id)
            track.early.clear()
            self._drop_early(track.run_id)

    def _drop_early(self, run_id: str) -> None:
        """Nothing that is kept of a run's early messages is needed."""
        early = self.changes.early
        self.changes.early = {name: row for name, row in early.items() if row.run_id != run_id}
        self.changes.without_early.add(run_id)

    def _keep_taskset(self, row: RunRow, message: TaskSetMessage) -> None:
        if self.runs.taskset(row.taskset_id) is None:
            body, state = message.body().decode(), TaskSetState.RUNNING.value
            taskset = TaskSetRow(row.taskset_id, row.campaign_id, state, None, body)
            self.runs.tasksets[row.taskset_id] = self.changes.tasksets[row.taskset_id] = taskset
