"""The controller's periodic work: report, give up lost runs, end duplicates, resend decisions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Container, Iterable
from functools import partial
from typing import Final

from services.controller.controller import Controller, LiveRun
from services.controller.liveness import LivenessMonitor
from taskgen.amqp.channel import Channel
from taskgen.amqp.reconnect import until_lost
from taskgen.amqp.topology import COMMANDS, CONTROLLER, EVENTS
from taskgen.client.status_listener import StatusListener
from taskgen.consumer.consumer import Consumer
from taskgen.errors import StoreUnavailableError, UnroutableError
from taskgen.messages.codec import DecisionMessage, StatusMessage
from taskgen.runtime.health import Health

log = logging.getLogger(__name__)

_EVERY_S: Final = 2.0
_RESEND_AFTER_S: Final = 6.0
_QUIET_ROUNDS: Final = 2
"""No run counts as lost until its queue was empty this many times in a row: its end may be in the queue."""


class Supervisor:
    """Does the work that no message triggers, over one connection.

    Args:
        controller: the active controller.
        consumer: its connection for publishing, and its worker thread.
        lost_after_s: see `LivenessMonitor`.
        health: its part `store` says whether the state can be read, even while no messages arrive.
    """

    def __init__(
        self, controller: Controller, consumer: Consumer, lost_after_s: float, health: Health
    ) -> None:
        self._controller = controller
        self._consumer = consumer
        self._health = health
        self._liveness = LivenessMonitor(lost_after_s, time.monotonic())
        self._quiet_rounds = 0
        self._resender = DecisionResender(_RESEND_AFTER_S)

    async def serve(self) -> None:
        """Supervise until the connection or the channel for statuses is lost.

        Raises:
            BrokerError: it is lost; start a new supervisor on a new connection.
        """
        listener = StatusListener(on_status=self._take_status)
        async with asyncio.TaskGroup() as group:
            group.create_task(listener.serve(self._consumer.publishing))
            group.create_task(self._supervise_regularly(await self._consumer.publishing.channel()))

    async def _supervise_regularly(self, channel: Channel) -> None:
        while True:
            try:
                await self._supervise(channel)
            except StoreUnavailableError as error:
                self._health.set("store", False, str(error))
            else:
                self._health.set("store", True)
            await until_lost(asyncio.sleep(_EVERY_S), channel.lost)

    async def _supervise(self, channel: Channel) -> None:
        report = await self._consumer.between_batches(self._controller.report)
        channel.publish(EVENTS, report.routing_key, report.body(), report.message_id, is_persistent=False)
        await self._resend_decisions()
        await self._end_duplicates()
        await self._give_up_lost_runs(channel)
        await self._publish()

    async def _publish(self) -> None:
        """Publish messages that the broker did not accept before, and those from outside of batches."""
        if sent := await self._controller.tracker.outgoing.publish(self._consumer.out):
            await self._consumer.between_batches(partial(self._controller.tracker.mark_sent, sent))

    def _take_status(self, message: StatusMessage) -> None:
        self._liveness.hear(message, list(self._controller.live.values()), time.monotonic())

    async def _resend_decisions(self) -> None:
        """Send decisions again that may not have reached the distributor of their run."""
        live = list(self._controller.live.values())
        for board, decision in self._resender.due(live, self._liveness.running, time.monotonic()):
            try:
                await self._consumer.out.publish(COMMANDS, board, decision.body(), decision.message_id)
            except UnroutableError as error:
                log.info("the decision on run %s could not be sent again: %s", decision.run_id, error)

    async def _end_duplicates(self) -> None:
        """End all but the first run of a task-set; one that is delivered twice runs twice."""
        live, first, duplicates = self._controller.live, dict[str, str](), dict[str, str]()
        for run_id, taskset_id in sorted(self._liveness.running.items()):
            if run_id not in live:
                continue
            other = first.setdefault(taskset_id, run_id)
            if other != run_id and live[run_id].decision is None:
                duplicates[run_id] = f"run {other} of the same task-set is in progress"
        if duplicates:
            await self._consumer.between_batches(partial(self._controller.end_duplicates, duplicates))

    async def _give_up_lost_runs(self, channel: Channel) -> None:
        waiting = (await channel.queue_state(CONTROLLER)).messages
        self._quiet_rounds = 0 if waiting else self._quiet_rounds + 1
        if self._quiet_rounds < _QUIET_ROUNDS:
            return
        runs = list(self._controller.live.values())
        if lost := self._liveness.lost(runs, self._controller.heard, time.monotonic()):
            await self._consumer.between_batches(partial(self._controller.give_up, lost))


class DecisionResender:
    """Keeps track of when decisions on live runs were sent; times are `time.monotonic`, in seconds.

    A decision can be lost, as one may reach a board while no distributor owns it.

    Args:
        after_s: how long a run may continue after a decision before the decision is sent again.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._sent: dict[str, float] = {}

    def due(
        self, live: Iterable[LiveRun], running: Container[str], at: float
    ) -> list[tuple[str, DecisionMessage]]:
        """The decisions to send now, each after its board; they count as sent.

        Args:
            live: all live runs; any other run is forgotten.
            running: ids of the runs that distributors report to be running.
            at: now.
        """
        decided = {run.run_id: run for run in live if run.decision and run.run_id in running}
        sent = {run_id: self._sent.get(run_id, at) for run_id in decided}
        due = [run_id for run_id in decided if at - sent[run_id] >= self._after_s]
        self._sent = sent | dict.fromkeys(due, at)
        return [(run.board, run.decision) for run in map(decided.__getitem__, due) if run.decision]
