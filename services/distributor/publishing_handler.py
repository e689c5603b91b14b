"""The handler that turns the callbacks of runs into messages, and writes them to the outbox."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.distributor.outbox import Change, Entry, OpenRun, Outbox, Stored
from services.distributor.run_progress import RunProgress
from taskgen.errors import DistributorError, StoreUnavailableError
from taskgen.event import CommittingHandler, Profile, Quarantined
from taskgen.event_columns import ProfileOfRun
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    QuarantinedMessage,
    RefusedMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome, Run, now
from taskgen.runtime.health import Health
from taskgen.taskset import TaskSet

log = logging.getLogger(__name__)

_EVENTS_IN_A_MESSAGE: Final = 1_000
_MESSAGE_BYTES: Final = 64 * 1024
"""Larger messages are split, so that consumers can prefetch many; a single event may be larger."""


class PublishingHandler(CommittingHandler):
    """Turns the callbacks of runs into messages; decisions come from the controller.

    Args:
        outbox: keeps messages until the broker has confirmed them.
        instance: name of this distributor.
        health: reports whether the outbox accepts messages.
        on_commit: called in the handlers' thread with what was written to the outbox.
    """

    def __init__(
        self, outbox: Outbox, instance: str, health: Health, on_commit: Callable[[list[Stored]], None]
    ) -> None:
        super().__init__()
        self._outbox = outbox
        self._instance = instance
        self._health = health
        self._on_commit = on_commit
        self._changes: list[Change] = []
        self._runs: dict[str, RunProgress] = {}

    def begin(self) -> None:
        """Nothing to do: callbacks only collect."""

    def commit(self) -> None:
        """Write what was collected to the outbox; what does not fit stays collected.

        Raises:
            StoreUnavailableError: the outbox is full, or cannot be written.
        """
        for run in self._runs.values():
            self._flush(run)
        if not self._changes:
            return
        try:
            while self._changes:
                self._write_some()
        except StoreUnavailableError as error:
            self._health.set("outbox", is_ok=False, reason=str(error))
            raise
        self._health.set("outbox", is_ok=True)

    def give_up(self, reason: str) -> None:
        """Drop the events collected; if a run's end cannot be written, the outbox's adopter closes it."""
        lost = self._changes
        self._changes = [one for one in lost if one.is_end and one.run and one.run.run_id not in self._runs]
        for run in list(self._runs.values()):
            run.give_up(reason)
            if run.end is not None:
                self._add_end_of(run, run.end)
        if count := sum(change.entry.kind == "quarantined" for change in lost):
            log.error("lost quarantined messages that could not be written: %d", count)
        with suppress(StoreUnavailableError):  # which the caller has reported
            self.commit()

    def __taskset_start__(self, taskset: TaskSet) -> None:
        """Publish the start of the run."""
        run = _run(taskset)
        if not isinstance(run.origin, TaskSetMessage):
            raise DistributorError("only runs of task-sets from the queue can be published")
        head = self._head(run)
        message = StartedMessage(run=head, taskset=run.origin, binaries=dict(run.binaries))
        self._runs[run.run_id] = RunProgress(head)
        entry = Entry(message.routing_key, message.message_id, message.body())
        self._changes.append(Change(entry, _open(head, 0)))

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        """Collect the profile; the run continues until the controller decides, or events were lost."""
        super().__taskset_event__(taskset, event)
        for task in taskset:
            del task.jobs[:-1]  # only the number of ended jobs is needed here
        run = _run(taskset)
        progress = self._runs[run.run_id]
        progress.given = run.first_seq + len(event["profile"]["events"]["event"])
        if run.first_seq != progress.kept:
            progress.cut("an earlier profile could not be handled")
        if progress.cut_because:
            return False
        progress.profiles.append(ProfileOfRun(run.first_seq, run.received_at, event))
        progress.kept = progress.given
        if progress.kept - progress.profiles[0].first_seq >= _EVENTS_IN_A_MESSAGE:
            self._flush(progress)
        return True

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        """Publish the end of the run."""
        self._end(taskset)

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        """Publish the end of the run."""
        self._end(taskset)

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Publish bytes that are not events."""
        is_of_run = taskset is not None and taskset.run is not None and quarantined.run_id is not None
        message = QuarantinedMessage(
            run=self._head(_run(taskset)) if taskset is not None and is_of_run else None,
            board=quarantined.board,
            reason=quarantined.reason,
            received_at=quarantined.received_at,
            data_base64=base64.b64encode(quarantined.data).decode(),
        )
        self._add(message)

    def refuse(self, message: RefusedMessage) -> None:
        """Publish that a task-set cannot be run; to be called in the handlers' thread."""
        self._add(message)

    def report_lost(self, run: OpenRun, reason: str) -> None:
        """Close a run of an adopted outbox; to be called in the handlers' thread."""
        self._add_end(_lost(RunHead.model_validate_json(run.head), run.events, reason))

    def close_runs(self, reason: str) -> None:
        """Close all open runs; to be called in the handlers' thread when no more events can arrive."""
        for run in list(self._runs.values()):
            if run.end is None:
                self._close(run, _lost(run.head, run.given, reason))

    def _end(self, taskset: TaskSet) -> None:
        run = _run(taskset)
        progress = self._runs[run.run_id]
        message = EndedMessage(
            run=progress.head,
            ended_at=run.ended_at,
            outcome=run.outcome or Outcome.BOARD_LOST,
            reason=run.reason,
            events=run.events,
            parameters=dict(run.parameters),
        )
        self._close(progress, message)

    def _close(self, run: RunProgress, end: EndedMessage) -> None:
        self._flush(run)
        run.given = end.events
        if run.kept != run.given:
            run.cut("a profile could not be handled")
        run.end = end
        self._add_end_of(run, end)

    def _flush(self, run: RunProgress) -> None:
        """Make a message of the profiles collected of a run."""
        profiles, run.profiles = run.profiles, []
        if profiles:
            self._add_events(run, EventsMessage.of(run.head, profiles))

    def _add_events(self, run: RunProgress, message: EventsMessage) -> None:
        """Add a message, or its halves if it is too large."""
        body = message.body()
        halves = message.halves() if len(body) > _MESSAGE_BYTES else ()
        for half in halves:
            self._add_events(run, half)
        if not halves:
            entry = Entry(message.routing_key, message.message_id, body)
            self._changes.append(Change(entry, OpenRun(run.head.run_id, run.head_json, message.next_seq)))

    def _add_end_of(self, run: RunProgress, end: EndedMessage) -> None:
        """Add the end of a run, adjusted to what could be written of it."""
        if run.is_unknown:
            del self._runs[run.head.run_id]
        else:
            self._add_end(run.shortened(end))

    def _add_end(self, message: EndedMessage) -> None:
        entry = Entry(message.routing_key, message.message_id, message.body())
        self._changes.append(Change(entry, _open(message.run, message.events), is_end=True))

    def _add(self, message: QuarantinedMessage | RefusedMessage) -> None:
        self._changes.append(Change(Entry(message.routing_key, message.message_id, message.body())))

    def _write_some(self) -> None:
        """Write what fits, and note the progress of each run."""
        stored = self._outbox.write(self._changes)
        count = len(stored)
        written, self._changes = self._changes[:count], self._changes[count:]
        for _, state, is_end in written:
            run = self._runs.get(state.run_id) if state is not None else None
            if run is not None and state is not None:
                run.written = state.events
                if is_end:
                    del self._runs[state.run_id]
        self._on_commit(stored)

    def _head(self, run: Run) -> RunHead:
        campaign_id = run.origin.campaign_id if isinstance(run.origin, TaskSetMessage) else ""
        return RunHead(
            run_id=run.run_id,
            taskset_id=run.taskset_id,
            campaign_id=campaign_id,
            board=run.board,
            attempt=run.attempt,
            variant=run.variant,
            started_at=run.started_at,
            distributor=self._instance,
        )


def _run(taskset: TaskSet) -> Run:
    if taskset.run is None:
        raise DistributorError("the task-set is not being run")
    return taskset.run


def _open(head: RunHead, events: int) -> OpenRun:
    return OpenRun(head.run_id, head.model_dump_json(), events)


def _lost(head: RunHead, events: int, reason: str) -> EndedMessage:
    return EndedMessage(
        run=head, ended_at=now(), outcome=Outcome.DISTRIBUTOR_LOST, reason=reason, events=events
    )
