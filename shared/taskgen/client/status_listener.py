"""Listens to the statuses that all services publish every 2 s."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection
from taskgen.amqp.topology import EVENTS, declare
from taskgen.errors import MessageError
from taskgen.execution.board import BoardState
from taskgen.messages.codec import (
    BoardReport,
    CampaignReport,
    ControllerStatusMessage,
    Message,
    StatusMessage,
    read_message,
)

log = logging.getLogger(__name__)

_ROUND_S: Final = 2.5
"""Within this time every running service has published a status; they do so every 2 s."""
_FORGOTTEN_AFTER_S: Final = 10.0


class StatusListener:
    """Keeps the latest status of each service.

    Args:
        keys: binding keys of further messages to receive.
        on_message: called in the loop with each of these messages.
        on_status: called in the loop with each status of a distributor.
        keep_s: how long a silent distributor is remembered.
    """

    def __init__(
        self,
        keys: Sequence[str] = (),
        on_message: Callable[[Message], None] = lambda _: None,
        *,
        on_status: Callable[[StatusMessage], None] = lambda _: None,
        keep_s: float = _FORGOTTEN_AFTER_S,
    ) -> None:
        self._keys = ("status.#", *keys)
        self._on_message = on_message
        self._on_status = on_status
        self._keep_s = keep_s
        self._heard: dict[str, tuple[float, StatusMessage]] = {}
        self._controller: tuple[float, ControllerStatusMessage] | None = None
        self._began = time.monotonic()
        self._is_hearing = asyncio.Event()
        self._news = asyncio.Event()

    @asynccontextmanager
    async def over(self, connection: Connection) -> AsyncIterator[Self]:
        """Listen while the context is open.

        Raises:
            BrokerError: the subscription fails.
        """
        listening = asyncio.create_task(self.serve(connection))
        hearing = asyncio.create_task(self._is_hearing.wait())
        try:
            await asyncio.wait({listening, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
            yield self
        finally:
            hearing.cancel()
            listening.cancel()
            await asyncio.wait({listening, hearing})

    async def serve(self, connection: Connection) -> None:
        """Listen until the connection breaks.

        Raises:
            BrokerError: the connection is lost.
        """
        await declare(connection, [])
        channel = await connection.channel()
        queue = await channel.declare_queue("", durable=False, exclusive=True)
        for key in self._keys:
            await channel.bind(queue.name, EVENTS, key)
        await channel.consume(queue.name, lambda delivery: self._hear(channel, delivery))
        self._is_hearing.set()
        await channel.lost

    async def heard_all(self) -> None:
        """Wait until every running service has had time to publish a status."""
        await self._is_hearing.wait()
        await asyncio.sleep(_ROUND_S)

    async def heard_of(self, name: str) -> None:
        """Wait until a distributor reports a run or task-set, but no longer than `heard_all` does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROUND_S):
                while not any(name in {board.run_id, board.taskset_id} for _, board in self.boards.values()):
                    self._news.clear()
                    await self._news.wait()

    @property
    def distributors(self) -> list[StatusMessage]:
        """The latest status of each distributor, by name, unless it is too old."""
        return [self._heard[name][1] for name in sorted(self._heard) if self.silent_s(name) < self._keep_s]

    def silent_s(self, distributor: str) -> float:
        """Seconds since the latest status of a distributor."""
        return time.monotonic() - self._heard[distributor][0]

    @property
    def controller(self) -> ControllerStatusMessage | None:
        """The latest status of the active controller, unless it is too old."""
        if self._controller is None or time.monotonic() - self._controller[0] > _FORGOTTEN_AFTER_S:
            return None
        return self._controller[1]

    @property
    def is_without_controller(self) -> bool:
        """Whether no controller has reported, although it had time to."""
        return time.monotonic() - self._began > _FORGOTTEN_AFTER_S and self.controller is None

    @property
    def boards(self) -> dict[str, tuple[str, BoardReport]]:
        """Each board with its owner and report, or with a distributor that waits for it."""
        boards: dict[str, tuple[str, BoardReport]] = {}
        for status in sorted(self.distributors, key=lambda one: -self.silent_s(one.distributor)):
            for board in status.boards:
                if board.name not in boards or board.state is not BoardState.LEASED_ELSEWHERE:
                    boards[board.name] = (status.distributor, board)
        return dict(sorted(boards.items()))

    def campaign(self, campaign_id: str) -> CampaignReport | None:
        """The progress of a campaign, if the controller knows it."""
        reports = self._controller[1].campaigns if self._controller else []
        return next((report for report in reports if report.campaign_id == campaign_id), None)

    def _hear(self, channel: Channel, delivery: Delivery) -> None:
        channel.acknowledge(delivery.tag)
        try:
            message = read_message(delivery.body)
        except MessageError as error:  # such as a newer version
            log.info("ignored a message with key %s: %s", delivery.routing_key, error)
            return
        if isinstance(message, StatusMessage):
            self._heard[message.distributor] = time.monotonic(), message
            self._news.set()
            self._on_status(message)
        elif isinstance(message, ControllerStatusMessage):
            self._controller = time.monotonic(), message
        else:
            self._on_message(message)
