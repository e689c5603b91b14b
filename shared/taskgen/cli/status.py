"""`taskgen status`: show what the lab is doing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from taskgen.cli.broker import AmqpUrl, ManagementUrl, amqp_extra, broker_settings
from taskgen.cli.interruption import Interruption
from taskgen.cli.lab_screen import Screen
from taskgen.cli.progress import LOOK_EVERY_S

if TYPE_CHECKING:
    from taskgen.amqp.connection import Connection
    from taskgen.runtime.settings import ServiceSettings

_KEEP_S: Final = 60.0
"""How long the boards of a silent distributor are shown, marked as stale."""


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", metavar="", help="Refresh until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object.")] = False,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Show boards, runs, campaigns and queues of the lab.

    Waits about 3 s for the reports of all services.
    """
    settings = broker_settings(amqp_url, management_url)
    with Interruption() as interruption:
        asyncio.run(_show(settings, interruption, is_watching=watch, as_json=as_json))


async def _show(
    settings: ServiceSettings, interruption: Interruption, *, is_watching: bool, as_json: bool
) -> None:
    with amqp_extra():
        from taskgen.amqp.reconnect import connected_command  # noqa: PLC0415 - needs an extra
        from taskgen.client.lab_report import QueueCounting, lab_report  # noqa: PLC0415 - as above
        from taskgen.client.status_listener import StatusListener  # noqa: PLC0415 - as above
    listener, counting = StatusListener(keep_s=_KEEP_S), QueueCounting(settings)
    screen = Screen(as_json=as_json, is_watching=is_watching)

    async def look(link: Connection) -> None:
        async with listener.over(link):
            await listener.heard_all()
            while True:
                screen.show(lab_report(listener, *await counting.lines(link)))
                if not is_watching:
                    return
                await asyncio.sleep(1)

    with screen.area:
        looking = asyncio.create_task(connected_command(settings.amqp_url, "taskgen status", look))
        try:
            while not (looking.done() or interruption.is_asked):
                await asyncio.wait({looking}, timeout=LOOK_EVERY_S)
                screen.mark_stale()
            if looking.done():
                looking.result()
        finally:
            looking.cancel()
            await asyncio.wait({looking})
