"""Assembles the distributor, and starts and ends its parts in order."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from services.distributor.leases import Command, Leases
from services.distributor.outbox import OpenRun, Outbox
from services.distributor.outbox_publisher import Publisher
from services.distributor.publishing_handler import PublishingHandler
from services.distributor.settings import DistributorSettings
from services.distributor.status import report_status
from services.distributor.taskset_source import TaskSetSource
from taskgen.amqp.connection import Connection
from taskgen.amqp.management import add_limits
from taskgen.amqp.reconnect import stay_connected
from taskgen.amqp.topology import controller_queue, declare, tasksets_queue
from taskgen.deadline import Deadline
from taskgen.errors import SessionError, StoreUnavailableError
from taskgen.execution.board import BoardPool
from taskgen.execution.dispatcher import Counters, Dispatcher
from taskgen.execution.file_limit import allow_boards
from taskgen.messages.codec import DecisionMessage, RefusedMessage
from taskgen.run import Outcome
from taskgen.runtime.health import Health
from taskgen.runtime.runner import END_S

log = logging.getLogger(__name__)

_ADOPTION_PAUSE_S: Final = 30.0
_MEASURE_S: Final = 1.0
_LOOK_S: Final = 0.05
_CLOSING_S: Final = 7.0
"""Reserved for closing connections to a broker that does not answer."""
_SHUT_DOWN: Final = "the distributor was shut down"


class DistributorService:
    """One distributor: a pool of boards between a queue of task-sets and an outbox.

    Args:
        settings: from the environment.
        outbox: belongs to this process.
        health: reports which parts work.

    Raises:
        SettingsError: there are more boards than this process may have open files.
    """

    def __init__(self, settings: DistributorSettings, outbox: Outbox, health: Health) -> None:
        self._settings = settings
        self._outbox = outbox
        self._health = health
        self._tasks: set[asyncio.Task[None]] = set()
        board_settings, addresses = settings.board_settings(), settings.addresses()
        allow_boards(len(addresses))
        self._leases = Leases(self._obey, self._give_way)
        self._source = TaskSetSource(
            board_settings.session.binaries, self._has_others, self._leases.lost, self._refuse
        )
        self._publisher = Publisher(outbox, health, self._source.confirmed)
        self._handler = PublishingHandler(outbox, settings.instance, health, self._publisher.offer)
        self.dispatcher = Dispatcher(board_settings.session.limits, [self._handler])
        self.pool = BoardPool(
            addresses, board_settings, self._source, self.dispatcher, lease=self._leases.lease
        )

    async def serve(self) -> None:
        """Serve until cancelled; then stop the boards and publish what is left in the outbox."""
        connecting = asyncio.create_task(self._stay_connected())
        serving = asyncio.create_task(self.pool.serve())
        try:
            await asyncio.wait({connecting, serving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._end(connecting, serving)
        for task in (connecting, serving):
            if task.done() and not task.cancelled():
                task.result()

    async def _stay_connected(self) -> None:
        name, url = f"distributor {self._settings.instance}", self._settings.amqp_url
        on_change = self._health.set_broker
        async with asyncio.TaskGroup() as group:
            group.create_task(stay_connected(url, f"{name}, publishing", self._publish, on_change))
            group.create_task(stay_connected(url, f"{name}, boards", self._work, on_change))
            group.create_task(self._adopt())
            group.create_task(self._measure())

    async def _publish(self, connection: Connection) -> None:
        await declare(connection, [tasksets_queue(), controller_queue()])
        async with asyncio.TaskGroup() as group:
            group.create_task(add_limits(self._settings, [tasksets_queue()]))
            group.create_task(self._publisher.serve(connection))
            group.create_task(report_status(connection, self.pool, self._settings.instance, self._outbox))

    async def _work(self, connection: Connection) -> None:
        self._health.set("consuming", True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._leases.serve(connection))
                group.create_task(self._source.serve(connection))
        finally:
            self._health.set("consuming", False, "no connection to the broker")

    async def _adopt(self) -> None:
        """Adopt the outboxes of distributors that have ended, and close their runs."""
        while True:
            for run in await asyncio.to_thread(self._outbox.adopt):
                self.dispatcher.submit(partial(self._report_lost, run))
            self._publisher.wake()
            await asyncio.sleep(_ADOPTION_PAUSE_S)

    async def _measure(self) -> None:
        """Update the metrics regularly."""
        metrics, seen = self._health.metrics, Counters()
        while True:
            metrics.outbox.set(await asyncio.to_thread(lambda: self._outbox.depth))
            counted = dataclasses.replace(self.dispatcher.counters)
            metrics.frames.inc(counted.frames - seen.frames)
            metrics.bytes.inc(counted.bytes - seen.bytes)
            metrics.events.inc(counted.events - seen.events)
            seen = counted
            await asyncio.sleep(_MEASURE_S)

    def _report_lost(self, run: OpenRun) -> None:
        self._handler.report_lost(run, "the distributor that ran it has ended")

    def _refuse(self, refused: RefusedMessage) -> None:
        log.error("task-set %s refused: %s", refused.taskset.taskset_id, refused.reason)
        self.dispatcher.submit(partial(self._handler.refuse, refused))

    def _has_others(self, tried: Collection[str]) -> bool:
        return self.pool.has_others(tried)

    def _obey(self, name: str, command: Command) -> None:
        board = self.pool.boards[name]
        if isinstance(command, DecisionMessage):
            if board.inbox is not None and board.inbox.run.run_id == command.run_id:
                board.inbox.decide(command.outcome, command.reason)
            return
        rebooting = asyncio.create_task(self._reboot(name))
        self._tasks.add(rebooting)
        rebooting.add_done_callback(self._tasks.discard)

    def _give_way(self, name: str) -> None:
        """End the run on a board that another distributor has taken: decisions no longer reach this one."""
        self.pool.boards[name].stop_run(Outcome.DISTRIBUTOR_LOST, "another distributor has taken the board")

    async def _reboot(self, name: str) -> None:
        try:
            await self.pool.boards[name].reboot()
        except SessionError as error:
            log.warning("%s: cannot be rebooted: %s", name, error, extra={"board": name})

    async def _end(self, connecting: asyncio.Task[None], serving: asyncio.Task[None]) -> None:
        """End runs without a result, so that the controller requeues their task-sets; publish what is left.

        Each step may use a share of the remaining time. If the outbox cannot take something by the deadline
        of the runs, it takes nothing more of these runs.
        """
        deadline = Deadline(END_S - _CLOSING_S)
        runs_end = deadline.part(1 / 2)
        self._source.close()
        self.pool.stop_runs(Outcome.DISTRIBUTOR_LOST, _SHUT_DOWN)
        self.dispatcher.handlers.patience.end_by(runs_end)
        await _until(lambda: not self.pool.run_inboxes(), runs_end)
        serving.cancel()
        await asyncio.wait({serving}, timeout=deadline.part(1 / 4).left_s)
        self.dispatcher.submit(partial(self._handler.close_runs, _SHUT_DOWN))
        if not await asyncio.to_thread(self.dispatcher.close, deadline.part(1 / 2).left_s):
            log.warning("pending events are lost; the process that adopts the outbox will close their runs")
        if not connecting.done():
            self._publisher.wake()
            await _until(self._is_drained, deadline.part(1 / 2))
            connecting.cancel()
            await asyncio.wait({connecting})

    def _is_drained(self) -> bool:
        """Whether the outbox is empty, or cannot be read."""
        try:
            return not self._outbox.depth
        except StoreUnavailableError as error:
            log.warning("%s; its messages will be published after the next start", error)
            return True


async def _until(is_so: Callable[[], bool], deadline: Deadline) -> None:
    """Poll a condition until it holds or the deadline has passed."""
    while not is_so() and deadline.left_s:  # noqa: ASYNC110 - no event signals it
        await asyncio.sleep(_LOOK_S)


async def serve(settings: DistributorSettings, health: Health) -> None:
    """Run the distributor until cancelled."""
    with Outbox(settings.outbox_path, settings.outbox_max_mb * 1024 * 1024) as outbox:
        await DistributorService(settings, outbox, health).serve()
