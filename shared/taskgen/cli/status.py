"""`taskgen status`: what the lab is doing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from taskgen.cli.broker import AmqpUrl, ManagementUrl, amqp_extra, broker_settings
from taskgen.cli.interruption import Interruption
from taskgen.cli.lab import Screen

if TYPE_CHECKING:
    from taskgen.amqp.connection import Connection
    from taskgen.runtime.settings import ServiceSettings


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Show boards, runs, campaigns and queues; it takes about 3 s to hear from everybody."""
    settings = broker_settings(amqp_url, management_url)
    with Interruption() as interruption:
        asyncio.run(_show(settings, interruption, is_watching=watch, as_json=as_json))


async def _show(
    settings: ServiceSettings, interruption: Interruption, *, is_watching: bool, as_json: bool
) -> None:
    with amqp_extra():
        from taskgen.amqp.client import as_client  # noqa: PLC0415 - needs an extra
        from taskgen.client.lab_report import QueueCounting, lab_report  # noqa: PLC0415 - as above
        from taskgen.client.status_listener import StatusListener  # noqa: PLC0415 - as above
    watching, counting = StatusListener(), QueueCounting(settings)
    screen = Screen(as_json=as_json, is_watching=is_watching)

    async def look(link: Connection) -> None:
        async with watching.over(link):
            await watching.heard_all()
            while not interruption.is_asked:
                screen.show(lab_report(watching, *await counting.lines(link)))
                if not is_watching:
                    return
                await asyncio.sleep(1)

    with screen:
        await as_client(settings.amqp_url, "taskgen status", look)
