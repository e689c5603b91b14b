"""`taskgen reboot`: a board is started anew."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from taskgen.boards.address import parse_addresses
from taskgen.boards.protocol import DEFAULT_PORT
from taskgen.cli.broker import AmqpUrl, amqp_extra, broker_url
from taskgen.cli.terminal import result_console


def reboot(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="HOST or HOST:PORT.")],
    *,
    amqp_url: AmqpUrl = None,
) -> None:
    """Have a board rebooted by the distributor that serves it; a run on it is tried again elsewhere."""
    for address in parse_addresses(board, DEFAULT_PORT):
        asyncio.run(_reboot(broker_url(amqp_url), str(address)))
        result_console().print(f"{address} is told to reboot")


async def _reboot(url: str, board: str) -> None:
    with amqp_extra():
        from taskgen.amqp.connection import connection  # noqa: PLC0415 - needs an extra
        from taskgen.client.stop import reboot_board  # noqa: PLC0415 - as above
    async with connection(url, "taskgen reboot") as link:
        await reboot_board(link, board)
