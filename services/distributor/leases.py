"""Which boards are ours: a board's queue is its inbox and its lease, as one connection alone can have it."""

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
    """Gets, keeps and gives back the leases of boards.

    A lease survives the loss of the broker as long as nobody else takes the board meanwhile: the runs go on,
    and it is taken again with the next connection.

    Args:
        on_command: called in the loop with what a board is told.
        on_lost: called in the loop with a board that another distributor has taken while the broker was away.
    """

    def __init__(self, on_command: Callable[[str, Command], None], on_lost: Callable[[str], None]) -> None:
        self._on_command = on_command
        self._on_lost = on_lost
        self._lost: dict[str, asyncio.Future[None]] = {}  # of every board that we hold
        self._consumers: dict[str, str] = {}  # their tags, on this connection
        self._connection: Connection | None = None
        self._is_connected = asyncio.Event()
        self._asking: Channel | None = None
        self._consuming: Channel | None = None
        self._guard = asyncio.Lock()

    async def serve(self, connection: Connection) -> None:
        """Hold the leases on this connection until it breaks, or somebody deletes a board's queue.

        Raises:
            BrokerError: it broke.
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
            BoardLostError: the broker went while it was asked.
        """
        board = str(address)
        await self._is_connected.wait()
        try:
            await self._declare(board)
        except BrokerError as error:
            raise BoardLostError(f"no broker to say whose it is: {error}") from error
        self._lost[board] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._lost[board]
            await self._release(board)

    def lost(self, board: str) -> asyncio.Future[None]:
        """Gets a `BoardLeasedError` when another distributor has taken a board that we hold."""
        return self._lost[board]

    async def _take_again(self, board: str) -> None:
        try:
            await self._declare(board)
        except BoardLeasedError as error:
            self._lose(board, error)
        else:
            if board not in self._lost:  # given back while we asked for it
                await self._release(board)

    def _lose(self, board: str, error: BoardLeasedError) -> None:
        log.warning("%s: %s", board, error, extra={"board": board})
        lost = self._lost.get(board)
        if lost is not None and not lost.done():
            lost.set_exception(error)
            lost.exception()
            self._on_lost(board)

    async def _declare(self, board: str) -> None:
        """Make the board's queue ours, and hear what comes into it."""
        queue = board_queue(board)
        async with self._guard:
            connection, channel = self._connection, self._consuming
            if connection is None or channel is None:
                raise BrokerUnavailableError("the connection broke")
            await self._ask_for(queue, connection)
            await channel.bind(queue, COMMANDS, board)
            self._consumers[board] = await channel.consume(queue, partial(self._obey, channel, board))

    async def _ask_for(self, queue: str, connection: Connection) -> None:
        """Declare a queue; a refusal closes the channel, so none with consumers may be used for it."""
        self._asking = self._asking or await connection.channel()
        try:
            await self._asking.declare_queue(queue, durable=False, exclusive=True)
        except BrokerError as error:
            self._asking = None
            if isinstance(error, LockedError):
                raise BoardLeasedError("another distributor has it") from error
            raise

    async def _release(self, board: str) -> None:
        consumer = self._consumers.pop(board, None)
        if self._consuming is not None and consumer is not None:
            try:
                await self._consuming.cancel(consumer)
                await self._consuming.delete_queue(board_queue(board))
            except BrokerError as error:  # the broker frees it with the connection
                log.info("%s: its lease ends with the connection: %s", board, error)

    def _obey(self, channel: Channel, board: str, delivery: Delivery) -> None:
        try:
            message = read_message(delivery.body)
        except MessageError as error:
            log.error("%s: ignored a command that cannot be understood: %s", board, error)  # noqa: TRY400
        else:
            if isinstance(message, DecisionMessage | RebootMessage):
                self._on_command(board, message)
            else:
                log.error("%s: ignored a %s: it is no command to a board", board, message.kind)
        channel.acknowledge(delivery.tag)
