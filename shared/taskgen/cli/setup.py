"""`taskgen setup`: create exchanges, queues and policies on a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from taskgen.cli.broker import AmqpUrl, ManagementUrl, amqp_extra, ask_broker, broker_settings
from taskgen.cli.terminal import counted
from taskgen.untrusted_text import printable

if TYPE_CHECKING:
    from taskgen.amqp.connection import Connection


def setup(
    *,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Kind of sink. Default: sqlite, csv and postgres. Can be repeated."
        ),
    ] = None,
    handler: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name of a handler, as given to `taskgen handle`. Can be repeated."
        ),
    ] = None,
    max_tasksets: Annotated[
        int, typer.Option(metavar="N", help="Let at most N task-sets wait for a board.", min=1)
    ] = 10_000,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Declare exchanges and queues, and set the queues' limits.

    Safe to repeat. The limits are policies, which only the management API can set; without it they are
    skipped with a note.
    """
    with amqp_extra():
        from taskgen.amqp import topology  # noqa: PLC0415 - needs an extra
        from taskgen.amqp.management import find_management  # noqa: PLC0415 - as above
        from taskgen.amqp.policies import policies  # noqa: PLC0415 - as above
    settings = broker_settings(amqp_url, management_url)
    queues = topology.all_queues(topology.DEFAULT_SINKS if sink is None else sink)
    queues += [topology.handler_queue(name) for name in handler or []]

    async def declare(link: Connection) -> None:
        await topology.declare(link, queues, is_setup=True)

    ask_broker(settings.amqp_url, "setup", declare)
    names = printable(", ".join(queue.name for queue in queues))
    typer.echo(f"{counted(len(queues), 'queue')} ready: {names}")
    management = find_management(settings.management_url, settings.amqp_url)
    if management is None:
        typer.echo(
            "no limits were set, because no management API answers; enable the plugin rabbitmq_management "
            "or give --management-url",
            err=True,
        )
        return
    changed = management.set_policies(policies(queues, max_tasksets))
    typer.echo(f"policies set: {printable(', '.join(changed))}" if changed else "policies unchanged")
