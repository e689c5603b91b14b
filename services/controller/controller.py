"""The controller: decides when runs are over, and is responsible for their task-sets."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from services.controller import taskset_lifecycle as lifecycle
from taskgen.amqp.topology import COMMANDS, EVENTS
from taskgen.consumer.run_tracker import RunObserver, RunTracker
from taskgen.consumer.tracked_run import StartedRun
from taskgen.errors import UnreadableError
from taskgen.event import AbstractEventHandler
from taskgen.messages.codec import (
    CampaignReport,
    ControllerStatusMessage,
    DecisionMessage,
    RefusedMessage,
    ResultsMessage,
    RunHead,
    TaskSetMessage,
)
from taskgen.retry_policy import RetryOn
from taskgen.run import Outcome, now
from taskgen.state.state import OutgoingMessage, RunRow, State, TaskSetState

log = logging.getLogger(__name__)

_LATEST_CAMPAIGNS: Final = 500
"""More than can change between two statuses: a client that waits for the end of a campaign must see it."""


@dataclass(slots=True)
class LiveRun:
    """A run that is in progress, as far as the controller knows."""

    run_id: str
    taskset_id: str
    board: str
    distributor: str
    decision: DecisionMessage | None = None
    """The decision to end it, which has not taken effect yet."""


class Controller(RunObserver):
    """Sends the handler's decisions to the boards, and retries task-sets whose runs had no result.

    All methods are for the tracker's thread.

    Args:
        handler: decides when a run is over.
        state: shared by all controllers, of which one is active.
        instance: the name of this controller.
        retry_on: what makes a run that the handler ended a fault of the board.
    """

    def __init__(
        self,
        handler: AbstractEventHandler,
        state: State,
        instance: str,
        retry_on: Collection[RetryOn] = (),
    ) -> None:
        self.tracker = RunTracker(handler, state, self, retry_on)
        """The processor of the controller's queue."""
        self.live: dict[str, LiveRun] = {}
        """By run id; changed in the tracker's thread only."""
        self.heard: dict[str, float] = {}
        """When the last message of each distributor arrived, by `time.monotonic`."""
        self._state = state
        self._instance = instance

    def give_up(self, lost: Mapping[str, str]) -> None:
        """Give up on runs, given the reason for each; their later reports are still handled."""
        self.tracker.claim()
        for run_id, reason in lost.items():
            if run_id in self.live and (run := self.tracker.started_run(run_id)) is not None:
                run.row.outcome, run.row.reason = Outcome.DISTRIBUTOR_LOST.value, reason
                run.row.ended_at = now()
                self.run_ended(run.row, None)
        self.tracker.flush()

    def end_duplicates(self, duplicates: Mapping[str, str]) -> None:
        """Stop runs whose task-set has another run, given the reason for each."""
        self.tracker.claim()
        for run_id, reason in duplicates.items():
            live = self.live.get(run_id)
            if live and live.decision is None and (run := self.tracker.started_run(run_id)) is not None:
                self._stop_duplicate(run.row, reason)
        self.tracker.flush()

    def report(self) -> ControllerStatusMessage:
        """The progress of all runs and campaigns."""
        self.tracker.claim()
        self.tracker.flush()
        runs = self._state.run_counts()
        failed = runs.pop(TaskSetState.FAILED.value, 0)
        counts = self._state.campaign_counts(_LATEST_CAMPAIGNS)
        campaigns = [_campaign(name, counts[name]) for name in sorted(counts)]
        return ControllerStatusMessage(controller=self._instance, runs=runs, bad=failed, campaigns=campaigns)

    @override
    def message_taken(self, head: RunHead) -> None:
        self.heard[head.distributor] = time.monotonic()

    @override
    def load(self) -> None:
        live, unusable = dict[str, LiveRun](), list[tuple[RunRow, UnreadableError]]()
        for run_id in self._state.live_runs():
            try:
                if row := self._state.run(run_id):
                    live[run_id] = _live_run(row)
            except UnreadableError as error:
                unusable.append((rest := self._state.rest_of_run(run_id), error))
                self.tracker.taskset(rest.taskset_id)  # read now, so that closing it below cannot fail
        self.live = live
        for rest, fault in unusable:  # closed once all others are known
            self.tracker.abandon_run(rest, fault)

    @override
    def run_started(self, run: StartedRun, message: TaskSetMessage) -> None:
        row = run.row
        self.live[row.run_id] = _live_run(row)
        known = self.tracker.taskset(row.taskset_id)
        taskset = lifecycle.run_started(self.tracker.changes, known, message)
        self.tracker.keep_taskset(taskset)
        if taskset.state == TaskSetState.DONE:
            self._stop_duplicate(row, f"its task-set is done: {taskset.outcome}")

    @override
    def run_decided(self, row: RunRow) -> None:
        self.tracker.changes.runs[row.run_id] = row
        decision = _decision(row)
        if decision is None:
            return
        body = decision.body().decode()
        self.tracker.changes.outgoing.append(OutgoingMessage(COMMANDS, row.board, decision.message_id, body))
        if (live := self.live.get(row.run_id)) is not None:
            live.decision = decision

    @override
    def run_ended(self, row: RunRow, former: str | None) -> None:
        self.live.pop(row.run_id, None)
        self.tracker.changes.runs[row.run_id] = row
        lifecycle.count_outcome(self.tracker.changes, former, row.outcome)
        taskset = self.tracker.taskset(row.taskset_id)
        if taskset is None:
            log.error("run %s belongs to an unknown task-set: %s", row.run_id, row.taskset_id)
            return
        lifecycle.run_ended(self.tracker.changes, taskset, row, self._is_running)

    @override
    def results_recorded(self, row: RunRow, results: Mapping[str, Any]) -> None:
        message = ResultsMessage(run=RunHead.model_validate(row, from_attributes=True), results=dict(results))
        body = message.body().decode()
        self.tracker.changes.outgoing.append(
            OutgoingMessage(EVENTS, message.routing_key, message.message_id, body)
        )

    @override
    def run_abandoned(self, row: RunRow, former: str | None) -> None:
        self.run_ended(row, former)
        if former is None:  # the board may still be running it
            row.decision, row.decided_because = Outcome.STOPPED_BY_RULE.value, row.reason
            self.run_decided(row)

    @override
    def taskset_refused(self, message: RefusedMessage) -> None:
        taskset_id = message.taskset.taskset_id
        known = self.tracker.taskset(taskset_id)
        if known is not None and (known.state == TaskSetState.DONE or self._is_running(taskset_id)):
            return
        state = TaskSetState.CANCELLED if message.is_called_off else TaskSetState.FAILED
        if known is None or known.state != state:
            changes, reason = self.tracker.changes, message.reason
            self.tracker.keep_taskset(lifecycle.refused(changes, known, message.taskset, reason, state))

    def _stop_duplicate(self, row: RunRow, reason: str) -> None:
        log.warning("run %s is stopped: %s", row.run_id, reason, extra={"board": row.board})
        row.is_duplicate = True
        row.decision, row.decided_because = Outcome.STOPPED_BY_RULE.value, reason
        self.run_decided(row)

    def _is_running(self, taskset_id: str) -> bool:
        return any(run.taskset_id == taskset_id for run in self.live.values())


def _live_run(row: RunRow) -> LiveRun:
    return LiveRun(row.run_id, row.taskset_id, row.board, row.distributor, _decision(row))


def _decision(row: RunRow) -> DecisionMessage | None:
    if row.decision is None:
        return None
    return DecisionMessage(run_id=row.run_id, outcome=Outcome(row.decision), reason=row.decided_because)


def _campaign(campaign_id: str, counts: Mapping[str, int]) -> CampaignReport:
    outcomes = {outcome: counts[outcome] for outcome in Outcome if counts.get(outcome)}
    return CampaignReport(
        campaign_id=campaign_id,
        running=counts.get(TaskSetState.RUNNING, 0),
        waiting=counts.get(TaskSetState.WAITING, 0),
        outcomes=outcomes,
        bad=counts.get(TaskSetState.FAILED, 0),
        called_off=counts.get(TaskSetState.CANCELLED, 0),
    )
