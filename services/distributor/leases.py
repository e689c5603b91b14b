"""Leases of boards: a board's exclusive queue is both its inbox and the proof that this process owns it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection
from taskgen.amqp.topology import COMMANDS, board_queue, declare
from taskgen.boards.address import Address
from taskgen.errors import (
    BoardLeasedError,
    BoardLostError,
    BrokerError,
    BrokerUnavailableError,
    LockedError,
    MessageError,
)
from taskgen.messages.codec import DecisionMessage, RebootMessage, read_message

log = logging.getLogger(__name__)

Command = DecisionMessage | RebootMessage


class Leases:
    """Acquires, keeps and releases the leases of boards.

    A lease survives a lost connection unless another distributor takes the board meanwhile: runs continue,
    and the lease is acquired again over the next connection.

    Args:
        on_command: called in the loop with each command to a board.
        on_lost: called in the loop with a board that another distributor took while the broker was away.
    """

    def __init__(self, on_command: Callable[[str, Command], None], on_lost: Callable[[str], None]) -> None:
        self._on_command = on_command
        self._on_lost = on_lost
        self._lost: dict[str, asyncio.Future[None]] = {}  # for each board that we own
        self._consumers: dict[str, str] = {}  # their tags on this connection
        self._connection: Connection | None = None
        self._is_connected = asyncio.Event()
        self._asking: Channel | None = None
        self._consuming: Channel | None = None
        self._guard = asyncio.Lock()

    async def serve(self, connection: Connection) -> None:
        """Hold the leases over this connection until it breaks or a board's queue is deleted.

        Raises:
            BrokerError: the connection or the channel is lost.
        """
        await declare(connection, [])
        self._consumers.clear()
        self._connection, self._consuming = connection, await connection.channel()
        try:
            for board in list(self._lost):
                await self._take_again(board)
            self._is_connected.set()
            await self._consuming.lost
        finally:
            self._is_connected.clear()
            self._connection = self._asking = self._consuming = None

    @asynccontextmanager
    async def lease(self, address: Address) -> AsyncIterator[None]:
        """Hold a board's lease while the context is open; waits for the broker.

        Raises:
            BoardLeasedError: another distributor has the board.
            BoardLostError: the connection broke during the request.
        """
        board = str(address)
        await self._is_connected.wait()
        try:
            await self._declare(board)
        except BrokerError as error:
            raise BoardLostError(f"its lease cannot be requested from the broker: {error}") from error
        self._lost[board] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._lost[board]
            await self._release(board)

    def lost(self, board: str) -> asyncio.Future[None]:
        """A future that fails with `BoardLeasedError` when another distributor has taken the board."""
        return self._lost[board]

    async def _take_again(self, board: str) -> None:
        try:
            await self._declare(board)
        except BoardLeasedError as error:
            self._lose(board, error)
        else:
            if board not in self._lost:  # released during the request
                await self._release(board)

    def _lose(self, board: str, error: BoardLeasedError) -> None:
        log.warning("%s: %s", board, error, extra={"board": board})
        lost = self._lost.get(board)
        if lost is not None and not lost.done():
            lost.set_exception(error)
            lost.exception()
            self._on_lost(board)

    async def _declare(self, board: str) -> None:
        """Acquire the board's queue and consume it."""
        queue = board_queue(board)
        async with self._guard:
            connection, channel = self._connection, self._consuming
            if connection is None or channel is None:
                raise BrokerUnavailableError("the connection broke")
            await self._ask_for(queue, connection)
            await channel.bind(queue, COMMANDS, board)
            self._consumers[board] = await channel.consume(queue, partial(self._obey, channel, board))

    async def _ask_for(self, queue: str, connection: Connection) -> None:
        """Declare a queue on a channel of its own, because a refusal closes the channel."""
        self._asking = self._asking or await connection.channel()
        try:
            await self._asking.declare_queue(queue, durable=False, exclusive=True)
        except BrokerError as error:
            self._asking = None
            if isinstance(error, LockedError):
                raise BoardLeasedError("another distributor holds its lease") from error
            raise

    async def _release(self, board: str) -> None:
        consumer = self._consumers.pop(board, None)
        if self._consuming is not None and consumer is not None:
            try:
                await self._consuming.cancel(consumer)
                await self._consuming.delete_queue(board_queue(board))
            except BrokerError as error:  # the broker releases it when the connection ends
                log.info("%s: its lease ends with the connection: %s", board, error)

    def _obey(self, channel: Channel, board: str, delivery: Delivery) -> None:
        try:
            message = read_message(delivery.body)
        except MessageError as error:
            log.error("%s: ignored an invalid command: %s", board, error)  # noqa: TRY400
        else:
            if isinstance(message, DecisionMessage | RebootMessage):
                self._on_command(board, message)
            else:
                log.error("%s: ignored a %s message, which is not a command", board, message.kind)
        channel.acknowledge(delivery.tag)
