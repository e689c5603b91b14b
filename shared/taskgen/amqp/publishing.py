"""The handler through which a distributor says everything: into its outbox, and from there to the broker."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from taskgen.amqp.messages import (
    EndedMessage,
    EventsMessage,
    ProfileOfRun,
    QuarantinedMessage,
    RefusedMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.amqp.outbox import Changes, Entry, OpenRun, Outbox
from taskgen.errors import DistributorError, StoreUnavailableError
from taskgen.event import CommittingHandler, Profile, Quarantined
from taskgen.monitoring import Health
from taskgen.run import Outcome, Run, now
from taskgen.taskset import TaskSet

_EVENTS_IN_A_MESSAGE: Final = 500
_MESSAGE_BYTES: Final = 64 * 1024
"""A larger message is split, so that consumers can hold many; a single event may be larger."""


class PublishingHandler(CommittingHandler):
    """Turns the callbacks of runs into messages; who decides is at the other end of the queue.

    Args:
        outbox: where messages are kept until the broker has them.
        instance: name of this distributor.
        health: told whether the outbox takes messages.
        on_commit: called, in the handlers' thread, when there is something to publish.
    """

    def __init__(self, outbox: Outbox, instance: str, health: Health, on_commit: Callable[[], None]) -> None:
        super().__init__()
        self._outbox = outbox
        self._instance = instance
        self._health = health
        self._on_commit = on_commit
        self._changes = Changes()
        self._profiles: dict[str, tuple[RunHead, str, list[ProfileOfRun]]] = {}

    def begin(self) -> None:
        """Nothing to do: callbacks only collect."""

    def commit(self) -> None:
        """Write what was collected to the outbox.

        Raises:
            StoreUnavailableError: it has no room now.
        """
        for run_id in list(self._profiles):
            self._flush(run_id)
        if self._changes.is_empty:
            return
        try:
            self._outbox.write(self._changes)
        except StoreUnavailableError as error:
            self._health.set("outbox", is_ok=False, reason=str(error))
            raise
        self._health.set("outbox", is_ok=True)
        self._changes = Changes()
        self._on_commit()

    def abandon(self) -> None:
        """Forget what was collected."""
        self._changes, self._profiles = Changes(), {}

    def __taskset_start__(self, taskset: TaskSet) -> None:
        """Say that the run begins."""
        run = _run(taskset)
        if not isinstance(run.origin, TaskSetMessage):
            raise DistributorError("only task-sets that came by a message can be published")
        head = self._head(run)
        message = StartedMessage(run=head, taskset=run.origin)
        self._add(f"started.{run.board}", message)
        self._changes.open_runs[run.run_id] = OpenRun(run.run_id, head.model_dump_json(), 0)

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        """Pass the profile on; the run goes on until the controller says otherwise."""
        super().__taskset_event__(taskset, event)
        for task in taskset:
            del task.jobs[:-1]  # how many have ended is all that is asked here
        run = _run(taskset)
        profile = ProfileOfRun(first_seq=run.first_seq, received_at=run.received_at, profile=event)
        _, _, profiles = self._profiles.setdefault(run.run_id, (self._head(run), run.board, []))
        profiles.append(profile)
        if profile.next_seq - profiles[0].first_seq >= _EVENTS_IN_A_MESSAGE:
            self._flush(run.run_id)
        return True

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        """Say how the run ended."""
        self._end(taskset, "finished")

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        """Say how the run ended."""
        self._end(taskset, "stopped")

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Pass on bytes that are no events."""
        is_of_run = taskset is not None and taskset.run is not None and quarantined.run_id is not None
        message = QuarantinedMessage(
            run=self._head(_run(taskset)) if taskset is not None and is_of_run else None,
            board=quarantined.board,
            reason=quarantined.reason,
            received_at=quarantined.received_at,
            data_base64=base64.b64encode(quarantined.data).decode(),
        )
        self._add(f"quarantined.{quarantined.board}", message)

    def refuse(self, message: RefusedMessage) -> None:
        """Say that a task-set cannot be run; call it in the handlers' thread."""
        self._add(f"refused.{message.taskset.taskset_id}", message)

    def report_lost(self, run: OpenRun, reason: str) -> None:
        """Close a run of a former life, whose end nobody saw; call it in the handlers' thread."""
        head = RunHead.model_validate_json(run.head)
        message = EndedMessage(
            run=head, ended_at=now(), outcome=Outcome.DISTRIBUTOR_LOST, reason=reason, events=run.events
        )
        self._add(f"stopped.{head.board}", message)
        self._close(run.run_id)

    def _end(self, taskset: TaskSet, what: str) -> None:
        run = _run(taskset)
        self._flush(run.run_id)
        message = EndedMessage(
            run=self._head(run),
            ended_at=run.ended_at,
            outcome=run.outcome or Outcome.BOARD_LOST,
            reason=run.reason,
            events=run.events,
        )
        self._add(f"{what}.{run.board}", message)
        self._close(run.run_id)

    def _close(self, run_id: str) -> None:
        self._changes.open_runs.pop(run_id, None)
        self._changes.closed_runs.add(run_id)

    def _flush(self, run_id: str) -> None:
        """Make one message of a run's collected profiles."""
        head, board, profiles = self._profiles.pop(run_id, (None, "", []))
        if head is not None:
            self._add_events(f"events.{board}", EventsMessage(run=head, profiles=profiles))
            self._changes.open_runs[run_id] = OpenRun(run_id, head.model_dump_json(), profiles[-1].next_seq)

    def _add_events(self, key: str, message: EventsMessage) -> None:
        """Add a message, or its halves where it is too large."""
        body = message.body()
        halves = message.halves() if len(body) > _MESSAGE_BYTES else ()
        for half in halves:
            self._add_events(key, half)
        if not halves:
            self._changes.entries.append(Entry(key, message.message_id, body))

    def _add(
        self,
        key: str,
        message: StartedMessage | EventsMessage | EndedMessage | QuarantinedMessage | RefusedMessage,
    ) -> None:
        self._changes.entries.append(Entry(key, message.message_id, message.body()))

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
