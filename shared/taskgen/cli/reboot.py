"""`taskgen reboot`: reboot a board of the lab."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from taskgen.boards.address import DEFAULT_PORT, parse_addresses
from taskgen.cli.broker import AmqpUrl, amqp_extra, ask_broker
from taskgen.cli.terminal import result_console


def reboot(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="HOST, HOST:PORT or a range.")],
    *,
    amqp_url: AmqpUrl = None,
) -> None:
    """Reboot a board; a run on it is lost and retried elsewhere.

    The distributor that has the board sends the command.
    """
    with amqp_extra():
        from taskgen.client.stop import reboot_board  # noqa: PLC0415 - needs an extra
    for address in map(str, parse_addresses(board, DEFAULT_PORT)):
        ask_broker(amqp_url, "reboot", partial(reboot_board, board=address))
        result_console().print(f"{address}: reboot requested")
