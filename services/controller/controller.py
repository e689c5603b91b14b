"""The controller: follows the runs, decides when they are over, and answers for their task-sets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.controller import taskset_lifecycle as fates
from services.controller.outgoing import OutgoingMessages
from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.topology import COMMANDS, TASKSETS, inbox
from taskgen.consumer.run_tracker import RunTracker
from taskgen.consumer.tracked_run import StartedRun
from taskgen.errors import StoreUnavailableError, UnreadableError
from taskgen.event import AbstractEventHandler
from taskgen.messages.codec import (
    CampaignReport,
    ControllerStatusMessage,
    DecisionMessage,
    Message,
    RefusedMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome, now
from taskgen.state.rows import Changes, OutgoingMessage, RunRow, TaskSetState
from taskgen.state.state import State

log = logging.getLogger(__name__)

_LATEST_CAMPAIGNS: Final = 500
"""More than change between two statuses: who waits for the end of one has to hear of it."""
_EXCHANGES: Final = ("", inbox(TASKSETS), COMMANDS)
"""To which anything is sent; the broker closes the channel of who publishes to one that is not there."""


@dataclass(slots=True)
class LiveRun:
    """A run that is on, as far as the controller knows."""

    run_id: str
    taskset_id: str
    board: str
    distributor: str
    decision: DecisionMessage | None = None
    """What was decided; it has not ended yet."""


class ControllerProcessor(RunTracker):
    """What `RunTracker` does, with decisions that travel back and task-sets that are tried again.

    Args:
        handler: decides when a run is over.
        state: of all controllers.
        instance: which of them this is.
    """

    def __init__(self, handler: AbstractEventHandler, state: State, instance: str) -> None:
        super().__init__(handler, state)
        self._instance = instance
        self._sendings = OutgoingMessages()
        self._is_loaded = False
        self.live: dict[str, LiveRun] = {}
        """By run id; to be changed in the worker thread only."""
        self.heard: dict[str, float] = {}
        """When a message of a distributor came last, by `time.monotonic`."""

    def take(self, message: Message, delivery: Delivery) -> None:
        """See `Processor`."""
        super().take(message, delivery)
        if (head := getattr(message, "run", None)) is not None:
            self.heard[head.distributor] = time.monotonic()

    def claim(self) -> None:
        """Make sure that the state is ours, and that we know what is going on."""
        super().claim()
        if not self._is_loaded:
            self._load()

    async def committed(self, channel: Channel) -> None:
        """See `Processor`: publish the decisions, and the task-sets that are put back."""
        if sent := await self._sendings.publish(channel):
            await asyncio.to_thread(self.mark_sent, sent)

    async def publish(self, channel: Channel) -> list[str]:
        """Between batches: publish what could not be published with one; see `OutgoingMessages`."""
        return await self._sendings.publish(channel)

    def mark_sent(self, sent: list[str]) -> None:
        """In the worker thread, or while it has nothing to do: forget what the broker has."""
        self._changes.sent += sent
        try:
            self.flush()
        except StoreUnavailableError as error:
            log.info("will be noted as sent with the next batch: %s", error)

    def give_up(self, lost: Mapping[str, str]) -> None:
        """In the worker thread: take runs for lost, with the reasons; what they still report is taken too."""
        self.claim()
        for run_id, reason in lost.items():
            if run_id in self.live and (known := self._known(run_id)) is not None:
                known.row.outcome, known.row.reason = Outcome.DISTRIBUTOR_LOST.value, reason
                known.row.ended_at = now()
                self._over(known.row, None)
        self.flush()

    def end_duplicates(self, surplus: Mapping[str, str]) -> None:
        """In the worker thread: have runs stopped whose task-set another one is on for."""
        self.claim()
        for run_id, reason in surplus.items():
            live = self.live.get(run_id)
            if live and live.decision is None and (known := self._known(run_id)) is not None:
                self._stop_duplicate(known.row, reason)
        self.flush()

    def report(self) -> ControllerStatusMessage:
        """In the worker thread: how far everything is."""
        self.claim()
        runs = self._state.run_tallies()
        bad = runs.pop(TaskSetState.FAILED.value, 0)
        tallies = self._state.campaign_tallies(_LATEST_CAMPAIGNS)
        campaigns = [_campaign(name, tallies[name]) for name in sorted(tallies)]
        return ControllerStatusMessage(controller=self._instance, runs=runs, bad=bad, campaigns=campaigns)

    def _known(self, run_id: str) -> StartedRun | None:
        track = self._track(run_id)
        return track.known if track else None

    def _load(self) -> None:
        """Read what is going on; runs that are unusable are closed when all others are known."""
        live, unusable = dict[str, LiveRun](), list[tuple[RunRow, UnreadableError]]()
        for run_id in self._state.live_runs():
            try:
                if row := self._state.run(run_id):
                    live[run_id] = _live(row)
            except UnreadableError as error:
                unusable.append((self._state.rest_of_run(run_id), error))
        self._sendings.put([one for one in self._state.sendings() if one.exchange in _EXCHANGES])
        self.live, self._is_loaded = live, True
        for rest, fault in unusable:
            self._give_up_on(rest, fault)
        self.flush()

    def _forget(self) -> None:
        super()._forget()
        self._sendings.clear()
        self._is_loaded = False

    def _written(self, changes: Changes) -> None:
        self._sendings.put(changes.sendings)

    def _started(self, known: StartedRun, message: TaskSetMessage) -> None:
        row = known.row
        self.live[row.run_id] = _live(row)
        fates.count_run(self._changes, None, fates.RUNNING)
        taskset = fates.begin(self._changes, self._runs.taskset(row.taskset_id), message)
        self._runs.tasksets[row.taskset_id] = taskset
        if taskset.state == TaskSetState.DONE:
            self._stop_duplicate(row, f"its task-set is done: {taskset.outcome}")

    def _stop_duplicate(self, row: RunRow, reason: str) -> None:
        log.warning("run %s is stopped: %s", row.run_id, reason, extra={"board": row.board})
        row.is_surplus = True
        row.decision, row.decided_because = Outcome.STOPPED_BY_RULE.value, reason
        self._send_decision(row)

    def _decided(self, known: StartedRun) -> None:
        self._send_decision(known.row)

    def _send_decision(self, row: RunRow) -> None:
        self._changes.runs[row.run_id] = row
        decision = _decision(row)
        if decision is None:
            return
        body = decision.body().decode()
        self._changes.sendings.append(OutgoingMessage(COMMANDS, row.board, decision.message_id, body))
        if (live := self.live.get(row.run_id)) is not None:
            live.decision = decision

    def _ended(self, known: StartedRun, former: str | None) -> None:
        self._over(known.row, former)

    def _over(self, row: RunRow, former: str | None) -> None:
        """A run is over: reported, assumed, or reported after it had been assumed."""
        self.live.pop(row.run_id, None)
        self._changes.runs[row.run_id] = row
        fates.count_run(self._changes, former or fates.RUNNING, row.outcome)
        outcome = Outcome(row.outcome or Outcome.DISTRIBUTOR_LOST)
        taskset = self._runs.taskset(row.taskset_id)
        if taskset is None:
            log.error("run %s was of a task-set that is not known: %s", row.run_id, row.taskset_id)
            return
        is_stopped_surplus = row.is_surplus and outcome is not Outcome.FINISHED
        if outcome.is_result and not is_stopped_surplus:
            if taskset.state != TaskSetState.DONE:
                fates.move(self._changes, taskset, TaskSetState.DONE, outcome)
        elif (
            not row.is_settled
            and taskset.state == TaskSetState.RUNNING
            and not self._has_live(taskset.taskset_id)
        ):
            fates.try_again(self._changes, taskset, row)
        row.is_settled = True

    def _given_up(self, row: RunRow, former: str | None) -> None:
        self._over(row, former)
        if former is None:  # it may still be on
            row.decision, row.decided_because = Outcome.STOPPED_BY_RULE.value, row.reason
            self._send_decision(row)

    def _has_live(self, taskset_id: str) -> bool:
        return any(run.taskset_id == taskset_id for run in self.live.values())

    def _refused(self, message: RefusedMessage) -> None:
        taskset_id = message.taskset.taskset_id
        known = self._runs.taskset(taskset_id)
        if known is not None and (known.state == TaskSetState.DONE or self._has_live(taskset_id)):
            return
        state = TaskSetState.CANCELLED if message.is_called_off else TaskSetState.FAILED
        if known is not None and known.state == state:
            return
        self._runs.tasksets[taskset_id] = fates.refuse(
            self._changes, known, message.taskset, message.reason, state
        )


def _live(row: RunRow) -> LiveRun:
    return LiveRun(row.run_id, row.taskset_id, row.board, row.distributor, _decision(row))


def _decision(row: RunRow) -> DecisionMessage | None:
    if row.decision is None:
        return None
    return DecisionMessage(run_id=row.run_id, outcome=Outcome(row.decision), reason=row.decided_because)


def _campaign(campaign_id: str, tallies: Mapping[str, int]) -> CampaignReport:
    outcomes = {outcome: tallies[outcome] for outcome in Outcome if tallies.get(outcome)}
    return CampaignReport(
        campaign_id=campaign_id,
        running=tallies.get(TaskSetState.RUNNING, 0),
        waiting=tallies.get(TaskSetState.WAITING, 0),
        outcomes=outcomes,
        bad=tallies.get(TaskSetState.FAILED, 0),
        called_off=tallies.get(TaskSetState.CANCELLED, 0),
    )
