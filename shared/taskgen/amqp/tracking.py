"""A handler behind a queue, called as in one process: in order, with the jobs, also after a restart."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from taskgen.amqp import tracks
from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.messages import (
    EndedMessage,
    EventsMessage,
    Message,
    ProfileOfRun,
    QuarantinedMessage,
    RefusedMessage,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.amqp.tracks import Early, Known, Taken, Track
from taskgen.calls import HandlerCalls
from taskgen.errors import MessageError, StoreError, StoreUnavailableError
from taskgen.event import AbstractEventHandler, Quarantined
from taskgen.events.storing import StoringHandler
from taskgen.run import Outcome
from taskgen.state.rows import Changes, EarlyRow, TaskSetRow, TaskSetState
from taskgen.state.state import State

log = logging.getLogger(__name__)

_MOST_BEFORE_START: Final = 1_000
"""So many messages are kept of a run whose start has not come; it began before the queue was there."""


class TrackingProcessor:
    """Follows runs by their messages and calls a handler; see `Processor`.

    What was taken is worked on in `commit`, which brings the state and the handler to the same point. A
    handler is called a second time for the same events only after a crash between the call and the commit.

    Args:
        handler: called in one thread, one call at a time; what it decides is `_decided`'s to use.
        state: where runs are remembered; of this handler alone.
    """

    def __init__(self, handler: AbstractEventHandler, state: State) -> None:
        self._calls = HandlerCalls([handler])
        self._store = handler if isinstance(handler, StoringHandler) else None
        self._state = state
        self._taken: list[Taken] = []
        self._tracks: dict[str, Track | None] = {}
        """By run id; None: closed, a message that still comes is a duplicate."""
        self._tasksets: dict[str, TaskSetRow] = {}
        self._passed_over: set[str] = set()
        self._changes = Changes()
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
                self._load(self._taken)
                taken, self._taken = self._taken, []
                for message in taken:
                    self._apply(message)
            self.flush()
        except StoreUnavailableError:
            raise
        except StoreError:
            self._forget()  # what was collected can never be written: begin again from the state
            raise

    def abandon(self) -> None:
        """See `Processor`: what was worked on stays, and is a duplicate when it is delivered again."""
        self._taken.clear()
        self._is_claimed = False

    async def committed(self, channel: Channel) -> None:
        """See `Processor`."""

    def claim(self) -> None:
        """Make sure that the state is ours; if another process had it meanwhile, forget what we knew."""
        if self._is_claimed:
            return
        if not self._state.claim():
            self._forget()
        self._is_claimed = True

    def flush(self) -> None:
        """Have the handler store and the state keep what has been worked on until now."""
        if self._store is not None:
            self._store.commit()
            self._store.begin()
        for track in self._tracks.values():
            if track is not None and track.known is not None:
                self._collect_jobs(track.known)
        if self._changes:
            self._state.write(self._changes)
            written, self._changes = self._changes, Changes()
            self._written(written)
        self._release()

    def _written(self, changes: Changes) -> None:
        """Changes are durable now."""

    def _forget(self) -> None:
        self._tracks.clear()
        self._tasksets.clear()
        self._changes = Changes()
        if self._store is not None:
            self._store.abandon()
            self._store.begin()

    def _release(self) -> None:
        """Let go of closed runs, and of the task-sets that no other run is of."""
        self._tracks = {
            run_id: track for run_id, track in self._tracks.items() if track and (track.known or track.early)
        }
        needed = {track.known.row.taskset_id for track in self._tracks.values() if track and track.known}
        self._tasksets = {name: row for name, row in self._tasksets.items() if name in needed}

    def _load(self, messages: Iterable[Taken]) -> None:
        """Read what is known of the runs and task-sets that messages are of."""
        for message in messages:
            if isinstance(message, RefusedMessage):
                self._load_taskset(message.taskset.taskset_id)
            elif message.run is not None:
                self._load_taskset(message.run.taskset_id)
                self._load_run(message.run.run_id)

    def _load_taskset(self, taskset_id: str) -> None:
        if taskset_id not in self._tasksets and (row := self._state.taskset(taskset_id)):
            self._tasksets[taskset_id] = row

    def _load_run(self, run_id: str) -> None:
        if run_id in self._tracks:
            return
        row = self._state.run(run_id)
        if row is not None and row.is_closed:
            self._tracks[run_id] = None
            return
        if row is not None:
            self._load_taskset(row.taskset_id)
        message = self._tasksets[row.taskset_id].message if row is not None else ""
        early = self._state.early(run_id)
        self._tracks[run_id] = tracks.rebuilt(run_id, row, message, self._state.jobs(run_id), early)

    def _apply(self, message: Taken) -> None:
        if isinstance(message, QuarantinedMessage):
            self._quarantine(message)
            return
        if isinstance(message, RefusedMessage):
            self._refused(message)
            return
        track = self._tracks[message.run.run_id]
        if track is None or track.run_id in self._passed_over:
            return
        if isinstance(message, StartedMessage):
            self._start(track, message)
        elif track.is_its_turn(message):
            self._do(track, message)
        else:
            self._keep_early(track, message)
        while early := track.next_early():
            del track.early[early.message_id]
            self._forget_early(early.message_id)
            self._do(track, early)

    def _start(self, track: Track, message: StartedMessage) -> None:
        if track.known is not None:
            return
        known = track.known = tracks.begun(message.run, message.taskset)
        self._changes.runs[track.run_id] = known.row
        self._calls.start(known.taskset)
        self._started(known, message.taskset)

    def _do(self, track: Track, message: Early) -> None:
        """Work on a message whose turn it is."""
        known = track.known
        if known is None:
            return
        self._changes.runs[track.run_id] = known.row
        if isinstance(message, EventsMessage):
            for profile in message.profiles:
                self._event(known, profile)
        else:
            self._end(known, message)
        if known.row.events is not None and known.row.next_seq >= known.row.events:
            self._close(track, known)

    def _event(self, known: Known, profile: ProfileOfRun) -> None:
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
            self._decided(known)

    def _end(self, known: Known, message: EndedMessage) -> None:
        """Take the run's closing message; the handler is told when it has seen all events before it."""
        row = known.row
        if row.events is not None:
            return
        former, row.outcome = row.outcome, message.outcome.value
        row.reason, row.ended_at, row.events = message.reason, message.ended_at, message.events
        self._ended(known, former)

    def _close(self, track: Track, known: Known) -> None:
        """Tell the handler of the end; what is still early has no events that are new."""
        known.close()
        self._calls.end(known.taskset)
        known.row.is_closed = True
        self._collect_jobs(known)
        self._drop_early(track)
        self._tracks[track.run_id] = None

    def _collect_jobs(self, known: Known) -> None:
        if known.touched:
            for job in known.changed_jobs():
                self._changes.jobs[job.run_id, job.task_id, job.job] = job

    def _keep_early(self, track: Track, message: Early) -> None:
        track.early[message.message_id] = message
        row = EarlyRow(message.message_id, track.run_id, message.body().decode())
        self._changes.early[message.message_id] = row
        if track.known is None and len(track.early) > _MOST_BEFORE_START:
            log.warning("run %s: passed over: its start was not seen", track.run_id)
            self._passed_over.add(track.run_id)
            self._drop_early(track)

    def _drop_early(self, track: Track) -> None:
        for message_id in track.early:
            self._forget_early(message_id)
        track.early.clear()

    def _forget_early(self, message_id: str) -> None:
        if self._changes.early.pop(message_id, None) is None:
            self._changes.no_longer_early.add(message_id)

    def _quarantine(self, message: QuarantinedMessage) -> None:
        track = self._tracks.get(message.run.run_id) if message.run else None
        quarantined = Quarantined(
            message.reason,
            message.data,
            message.board,
            message.received_at,
            message.run.run_id if message.run else None,
        )
        self._calls.quarantine(track.known.taskset if track and track.known else None, quarantined)

    def _started(self, known: Known, message: TaskSetMessage) -> None:
        """A run has begun."""
        row = known.row
        if row.taskset_id not in self._tasksets:
            body, state = message.body().decode(), TaskSetState.RUNNING.value
            taskset = TaskSetRow(row.taskset_id, row.campaign_id, state, None, body)
            self._tasksets[row.taskset_id] = self._changes.tasksets[row.taskset_id] = taskset

    def _decided(self, known: Known) -> None:
        """The handler has said for the first time that the run is over."""

    def _ended(self, known: Known, former: str | None) -> None:
        """The run's closing message came; `former` is an outcome that was assumed before."""

    def _refused(self, message: RefusedMessage) -> None:
        """A task-set will not be run."""
