"""Beside the messages: statuses, runs that are lost, and what has to be sent again."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Final

from services.controller.controller import ControllerProcessor
from services.controller.decision_resender import DecisionResender
from services.controller.liveness import LivenessMonitor
from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.topology import COMMANDS, CONTROLLER, EVENTS
from taskgen.amqp.waiting import until_lost
from taskgen.consumer.consumer import Hosted
from taskgen.errors import MessageError, StoreUnavailableError, UnroutableError
from taskgen.messages.codec import StatusMessage, read_message
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
        hosted: its connection for publishing, and its worker thread.
        lost_after_s: see `LivenessMonitor`.
        health: its part `store` says whether the state can be read, also while no message comes.
    """

    def __init__(
        self, processor: ControllerProcessor, hosted: Hosted, lost_after_s: float, health: Health
    ) -> None:
        self._processor = processor
        self._hosted = hosted
        self._health = health
        self._silence = LivenessMonitor(lost_after_s, time.monotonic())
        self._quiet_rounds = 0
        self._reminders = DecisionResender(_SEND_AGAIN_AFTER_S)

    async def serve(self) -> None:
        """Supervisor until the connection breaks, or statuses can no longer be heard.

        Raises:
            BrokerError: so it is; a new watch over another connection is needed.
        """
        channel = await self._hosted.connection.channel()
        queue = await channel.declare_queue("", durable=False, exclusive=True)
        await channel.bind(queue.name, EVENTS, "status.#")
        await channel.consume(queue.name, partial(self._hear, channel))
        while True:
            try:
                await self._look(channel)
            except StoreUnavailableError as error:
                self._health.set("store", False, str(error))
            else:
                self._health.set("store", True)
            await until_lost(asyncio.sleep(_EVERY_S), channel.lost)

    async def _look(self, channel: Channel) -> None:
        report = await self._hosted.between_batches(self._processor.report)
        channel.publish(EVENTS, "status.controller", report.body(), report.message_id, is_persistent=False)
        await self._decide_again()
        await self._end_duplicates()
        await self._judge(channel)
        await self._publish()

    async def _publish(self) -> None:
        """What the broker could not take before, or what no batch of messages led to."""
        if sent := await self._processor.publish(self._hosted.channel):
            await self._hosted.between_batches(partial(self._processor.mark_sent, sent))

    def _hear(self, channel: Channel, delivery: Delivery) -> None:
        channel.acknowledge(delivery.tag)
        try:
            message = read_message(delivery.body)
        except MessageError as error:
            log.warning("a status of key %s was passed over: %s", delivery.routing_key, error)
            return
        if isinstance(message, StatusMessage):
            self._silence.hear(message, list(self._processor.live.values()), time.monotonic())

    async def _decide_again(self) -> None:
        """A decision may not have come to whoever runs this."""
        live = list(self._processor.live.values())
        for board, decision in self._reminders.due(live, self._silence.running, time.monotonic()):
            try:
                await self._hosted.channel.publish(COMMANDS, board, decision.body(), decision.message_id)
            except UnroutableError as error:
                log.info("run %s was not told again that it is over: %s", decision.run_id, error)

    async def _end_duplicates(self) -> None:
        """A task-set that was delivered twice runs twice: the run that began first goes on."""
        live, first, surplus = self._processor.live, dict[str, str](), dict[str, str]()
        for run_id, taskset_id in sorted(self._silence.running.items()):
            if run_id not in live:
                continue
            other = first.setdefault(taskset_id, run_id)
            if other != run_id and live[run_id].decision is None:
                surplus[run_id] = f"run {other} of the same task-set is on"
        if surplus:
            await self._hosted.between_batches(partial(self._processor.end_duplicates, surplus))

    async def _judge(self, channel: Channel) -> None:
        waiting = (await channel.queue_state(CONTROLLER)).messages
        self._quiet_rounds = 0 if waiting else self._quiet_rounds + 1
        if self._quiet_rounds < _QUIET_ROUNDS:
            return
        runs = list(self._processor.live.values())
        if lost := self._silence.lost(runs, self._processor.heard, time.monotonic()):
            await self._hosted.between_batches(partial(self._processor.give_up, lost))
