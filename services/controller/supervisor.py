"""Beside the messages: statuses, runs that are lost, and what has to be sent again."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Final

from services.controller.decision_resender import DecisionResender
from services.controller.liveness import LivenessMonitor
from services.controller.processor import ControllerProcessor
from taskgen.amqp.channel import Channel
from taskgen.amqp.reconnect import until_lost
from taskgen.amqp.topology import COMMANDS, CONTROLLER, EVENTS
from taskgen.client.status_listener import StatusListener
from taskgen.consumer.consumer import Consumer
from taskgen.errors import StoreUnavailableError, UnroutableError
from taskgen.messages.codec import StatusMessage
from taskgen.runtime.health import Health

log = logging.getLogger(__name__)

_EVERY_S: Final = 2.0
_SEND_AGAIN_AFTER_S: Final = 6.0
_QUIET_ROUNDS: Final = 2
"""So often in a row nothing may wait in the queue before a run is taken for lost: its end may be in it."""


class Supervisor:
    """Looks after what no message tells, over one connection.

    Args:
        processor: the controller.
        consumer: its connection for publishing, and its worker thread.
        lost_after_s: see `LivenessMonitor`.
        health: its part `store` says whether the state can be read, also while no message comes.
    """

    def __init__(
        self, processor: ControllerProcessor, consumer: Consumer, lost_after_s: float, health: Health
    ) -> None:
        self._processor = processor
        self._consumer = consumer
        self._health = health
        self._liveness = LivenessMonitor(lost_after_s, time.monotonic())
        self._quiet_rounds = 0
        self._resender = DecisionResender(_SEND_AGAIN_AFTER_S)

    async def serve(self) -> None:
        """Supervisor until the connection breaks, or statuses can no longer be heard.

        Raises:
            BrokerError: so it is; a new watch over another connection is needed.
        """
        listener = StatusListener(on_status=self._hear)
        async with asyncio.TaskGroup() as group:
            group.create_task(listener.serve(self._consumer.publishing))
            group.create_task(self._look_regularly(await self._consumer.publishing.channel()))

    async def _look_regularly(self, channel: Channel) -> None:
        while True:
            try:
                await self._look(channel)
            except StoreUnavailableError as error:
                self._health.set("store", False, str(error))
            else:
                self._health.set("store", True)
            await until_lost(asyncio.sleep(_EVERY_S), channel.lost)

    async def _look(self, channel: Channel) -> None:
        report = await self._consumer.between_batches(self._processor.report)
        channel.publish(EVENTS, report.routing_key, report.body(), report.message_id, is_persistent=False)
        await self._decide_again()
        await self._end_duplicates()
        await self._judge(channel)
        await self._publish()

    async def _publish(self) -> None:
        """What the broker could not take before, or what no batch of messages led to."""
        if sent := await self._processor.publish(self._consumer.out):
            await self._consumer.between_batches(partial(self._processor.mark_sent, sent))

    def _hear(self, message: StatusMessage) -> None:
        self._liveness.hear(message, list(self._processor.live.values()), time.monotonic())

    async def _decide_again(self) -> None:
        """A decision may not have come to whoever runs this."""
        live = list(self._processor.live.values())
        for board, decision in self._resender.due(live, self._liveness.running, time.monotonic()):
            try:
                await self._consumer.out.publish(COMMANDS, board, decision.body(), decision.message_id)
            except UnroutableError as error:
                log.info("run %s was not told again that it is over: %s", decision.run_id, error)

    async def _end_duplicates(self) -> None:
        """A task-set that was delivered twice runs twice: the run that began first goes on."""
        live, first, surplus = self._processor.live, dict[str, str](), dict[str, str]()
        for run_id, taskset_id in sorted(self._liveness.running.items()):
            if run_id not in live:
                continue
            other = first.setdefault(taskset_id, run_id)
            if other != run_id and live[run_id].decision is None:
                surplus[run_id] = f"run {other} of the same task-set is on"
        if surplus:
            await self._consumer.between_batches(partial(self._processor.end_duplicates, surplus))

    async def _judge(self, channel: Channel) -> None:
        waiting = (await channel.queue_state(CONTROLLER)).messages
        self._quiet_rounds = 0 if waiting else self._quiet_rounds + 1
        if self._quiet_rounds < _QUIET_ROUNDS:
            return
        runs = list(self._processor.live.values())
        if lost := self._liveness.lost(runs, self._processor.heard, time.monotonic()):
            await self._consumer.between_batches(partial(self._processor.give_up, lost))
