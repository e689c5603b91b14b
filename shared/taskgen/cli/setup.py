"""`taskgen setup`: exchanges, queues and policies on a broker that nobody prepared."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from taskgen.cli.broker import AmqpUrl, ManagementUrl, amqp_extra, broker_settings
from taskgen.untrusted_text import printable


def setup(
    *,
    sink: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Kinds of sinks; else sqlite, csv and postgres. May be repeated."),
    ] = None,
    handler: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Names of `taskgen handle`. May be repeated."),
    ] = None,
    max_tasksets: Annotated[
        int, typer.Option(metavar="N", help="So many task-sets may wait for a board.", min=1)
    ] = 10_000,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Declare exchanges and queues, and set the queues' limits; doing it again changes nothing.

    The limits are policies, which only the management API can set: without it they are left out, and said.
    """
    with amqp_extra():
        from taskgen.amqp import topology  # noqa: PLC0415 - needs an extra
        from taskgen.amqp.connection import connection  # noqa: PLC0415 - as above
        from taskgen.amqp.management import find_management  # noqa: PLC0415 - as above
        from taskgen.amqp.policies import policies  # noqa: PLC0415 - as above
    settings = broker_settings(amqp_url, management_url)
    queues = topology.all_queues(topology.DEFAULT_SINKS if sink is None else sink)
    queues += [topology.handler_queue(name) for name in handler or []]

    async def declare() -> None:
        async with connection(settings.amqp_url, "taskgen setup") as link:
            await topology.declare(await link.channel(), queues)

    asyncio.run(declare())
    names = printable(", ".join(queue.name for queue in queues))
    typer.echo(f"{len(queues)} queues are there: {names}")
    management = find_management(settings.management_url, settings.amqp_url)
    if management is None:
        typer.echo(
            "no limits were set: no management API answers; enable the plugin rabbitmq_management and "
            "give --management-url",
            err=True,
        )
        return
    changed = management.set_policies(policies(queues, max_tasksets))
    typer.echo(
        f"policies set: {printable(', '.join(changed))}" if changed else "the policies were there already"
    )
