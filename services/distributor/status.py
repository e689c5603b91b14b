"""Publishes the state of a distributor's boards every 2 s."""

from __future__ import annotations

import asyncio
from typing import Final

from services.distributor.outbox import Outbox
from taskgen.amqp.connection import Connection
from taskgen.amqp.reconnect import until_lost
from taskgen.amqp.topology import EVENTS
from taskgen.execution.board import Board, BoardPool
from taskgen.messages.codec import BoardReport, StatusMessage, TaskSetMessage

_PAUSE_S: Final = 2.0


async def report_status(connection: Connection, pool: BoardPool, instance: str, outbox: Outbox) -> None:
    """Publish the state of the boards over a connection until it breaks.

    Raises:
        BrokerError: it broke.
    """
    channel = await connection.channel()
    while True:
        boards = [_report(board) for board in pool.boards.values()]
        depth = await asyncio.to_thread(lambda: outbox.depth)
        message = StatusMessage(distributor=instance, boards=boards, outbox=depth)
        channel.publish(EVENTS, message.routing_key, message.body(), message.message_id, is_persistent=False)
        await until_lost(asyncio.sleep(_PAUSE_S), channel.lost)


def _report(board: Board) -> BoardReport:
    run = board.inbox.run if board.inbox is not None else None
    return BoardReport(
        name=board.name,
        state=board.state,
        since=board.since,
        reason=board.reason,
        run_id=run.run_id if run else "",
        taskset_id=run.taskset_id if run else "",
        campaign_id=run.origin.campaign_id if run and isinstance(run.origin, TaskSetMessage) else "",
    )
