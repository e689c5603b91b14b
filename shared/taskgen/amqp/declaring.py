"""Exchanges and queues that a service needs are there when it begins, whoever may declare them."""

from __future__ import annotations

from collections.abc import Sequence

from taskgen.amqp import topology
from taskgen.amqp.channel import Channel
from taskgen.amqp.connection import Connection
from taskgen.errors import CredentialsError, TopologyError


async def declare(connection: Connection, queues: Sequence[topology.Queue]) -> None:
    """Make sure that exchanges and queues are there; a user who may not declare them finds them declared.

    Raises:
        TopologyError: a queue exists with other arguments.
        CredentialsError: something is not there, and this user may not declare it.
    """
    declaring = _Declaring(connection)
    for exchange in topology.exchanges(queues):
        await declaring.exchange(exchange)
    for queue in queues:
        await declaring.queue(queue)
    await (await declaring.channel()).close()


class _Declaring:
    """One channel after the other: what is not there, or not allowed, closes the one that asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None

    async def channel(self) -> Channel:
        if self._channel is None or self._channel.lost.done():
            self._channel = await self._connection.channel()
        return self._channel

    async def exchange(self, exchange: topology.Exchange) -> None:
        try:
            await (await self.channel()).find_exchange(exchange.name)
        except TopologyError:
            try:
                await (await self.channel()).declare_exchange(exchange.name, exchange.kind)
            except CredentialsError as refused:
                raise _missing(f"exchange {exchange.name}", refused) from refused

    async def queue(self, queue: topology.Queue) -> None:
        try:
            await topology.declare_queue(await self.channel(), queue)
        except CredentialsError as refused:
            await self._find(queue, refused)
        else:
            await topology.bind(await self.channel(), queue)

    async def _find(self, queue: topology.Queue, refused: CredentialsError) -> None:
        """See that a queue is there; its bindings are up to whoever may declare it."""
        for name in (queue.name, queue.parked):
            try:
                await (await self.channel()).queue_state(name)
            except TopologyError:
                raise _missing(f"queue {name}", refused) from refused


def _missing(what: str, refused: CredentialsError) -> CredentialsError:
    return CredentialsError(
        f"there is no {what}, and this user may not declare it: import the definitions, or have an "
        f"administrator run `taskgen setup` ({refused})"
    )
