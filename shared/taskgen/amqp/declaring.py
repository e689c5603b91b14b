"""Queues that a service needs are there when it begins, whoever may declare them."""

from __future__ import annotations

from collections.abc import Sequence

from taskgen.amqp import topology
from taskgen.amqp.connection import Connection
from taskgen.errors import CredentialsError, TopologyError


async def declare(connection: Connection, queues: Sequence[topology.Queue]) -> None:
    """Make sure that queues are there; a user who may not declare them finds them declared.

    Raises:
        TopologyError: one exists with other arguments.
        CredentialsError: one is not there, and this user may not declare it.
    """
    channel = await connection.channel()
    try:
        await topology.declare(channel, queues)
    except CredentialsError as refused:
        channel = await connection.channel()
        for name in (name for queue in queues for name in (queue.name, queue.parked)):
            try:
                await channel.queue_state(name)
            except TopologyError:
                raise refused from None
    await channel.close()
