"""`taskgen parked list|show|redrive|drop`: messages that a consumer could not understand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer
from rich.table import Table

from taskgen.cli.broker import AmqpUrl, ManagementUrl, amqp_extra, broker_settings, broker_url
from taskgen.cli.terminal import result_console
from taskgen.errors import TopologyError
from taskgen.untrusted_text import brief, printable

if TYPE_CHECKING:
    from taskgen.amqp.connection import Connection
    from taskgen.amqp.dead_letters import DeadLetter

app = typer.Typer(no_args_is_help=True, help="Messages that a consumer could not understand.")

_SUFFIX: Final = ".parked"

T = TypeVar("T")
QueueName = Annotated[
    str, typer.Argument(metavar="QUEUE", help="Such as taskgen.sink.sqlite; with or without .parked.")
]
MessageIds = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="ID", help="Only the message of this id. May be repeated."),
]


@app.command("list")
def list_(
    queue: Annotated[str | None, typer.Argument(metavar="[QUEUE]", help="Only this one.")] = None,
    *,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Say how many messages each queue has parked; with QUEUE, list these."""
    if queue is None:
        _list_queues(amqp_url, management_url)
    else:
        _list_messages(queue, amqp_url)


@app.command()
def show(queue: QueueName, *, message_id: MessageIds = None, amqp_url: AmqpUrl = None) -> None:
    """Print parked messages whole: reason, headers, body."""
    for one in _parked(queue, message_id, amqp_url):
        typer.echo(f"id           {printable(one.message_id)}")
        typer.echo(f"reason       {printable(one.reason)}")
        typer.echo(f"routing key  {printable(one.routing_key)}")
        for name, value in one.delivery.headers.items():
            typer.echo(f"header       {printable(name)}: {printable(value)}")
        body = one.delivery.body.decode(errors="backslashreplace")
        # Set in, so that no line of it can pass for one of ours.
        told = "\n             ".join(map(printable, body.split("\n")))
        typer.echo(f"body         {told}\n")


@app.command()
def redrive(queue: QueueName, *, message_id: MessageIds = None, amqp_url: AmqpUrl = None) -> None:
    """Put parked messages back into their queue, for a consumer that understands them by now."""
    with amqp_extra():
        from taskgen.amqp import dead_letters as parking  # noqa: PLC0415 - needs an extra
    name = _without_suffix(queue)
    count = _asked(amqp_url, lambda link: parking.redrive(link, name, _chosen(message_id)))
    typer.echo(f"{count} messages put back into {printable(name)}")


@app.command()
def drop(
    queue: QueueName,
    *,
    message_id: MessageIds = None,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    amqp_url: AmqpUrl = None,
) -> None:
    """Delete parked messages for good."""
    with amqp_extra():
        from taskgen.amqp import dead_letters as parking  # noqa: PLC0415 - needs an extra
    name = _without_suffix(queue)
    what = f"{len(message_id)} messages" if message_id else "all messages"
    if not is_sure:
        typer.confirm(f"Delete {what} parked by {printable(name)} for good?", abort=True)
    count = _asked(amqp_url, lambda link: parking.drop(link, name, _chosen(message_id)))
    typer.echo(f"{count} messages deleted")


def _list_queues(amqp_url: str | None, management_url: str | None) -> None:
    """All parking queues, where the management API can be asked; else those of a usual lab."""
    with amqp_extra():
        from taskgen.amqp.management import find_management  # noqa: PLC0415 - needs an extra
        from taskgen.amqp.topology import all_queues  # noqa: PLC0415 - as above
    settings = broker_settings(amqp_url, management_url)
    management = find_management(settings.management_url, settings.amqp_url)
    if management is not None:
        names = [name for name in management.queues() if name.endswith(_SUFFIX)]
    else:
        names = [queue.parked for queue in all_queues()]
        typer.echo("no management API answers: queues of handlers and other sinks are not listed", err=True)
    table = Table("queue", "parked")
    for name, count in _asked(amqp_url, lambda link: _counts(link, sorted(names))).items():
        table.add_row(_without_suffix(name), str(count))
    result_console().print(table)


async def _counts(link: Connection, names: list[str]) -> dict[str, int]:
    """How many messages there are now; the management API's numbers are some seconds old."""
    counts = {}
    for name in names:
        channel = await link.channel()  # an error closes it
        try:
            counts[name] = (await channel.queue_state(name)).messages
        except TopologyError:
            continue  # a lab need not have every sink
    return counts


def _list_messages(queue: str, amqp_url: str | None) -> None:
    table = Table("id", "routing key", "bytes", "reason")
    for one in _parked(queue, None, amqp_url):
        table.add_row(one.message_id, one.routing_key, str(len(one.delivery.body)), brief(one.reason))
    result_console().print(table)


def _parked(queue: str, message_ids: list[str] | None, amqp_url: str | None) -> list[DeadLetter]:
    with amqp_extra():
        from taskgen.amqp import dead_letters as parking  # noqa: PLC0415 - needs an extra
    is_chosen = _chosen(message_ids)
    found = _asked(amqp_url, lambda link: parking.dead_letters(link, _without_suffix(queue)))
    return [one for one in found if is_chosen(one)]


def _chosen(message_ids: list[str] | None) -> Callable[[DeadLetter], bool]:
    return lambda one: not message_ids or one.message_id in message_ids


def _without_suffix(queue: str) -> str:
    return queue.removesuffix(_SUFFIX)


def _asked(amqp_url: str | None, ask: Callable[[Connection], Awaitable[T]]) -> T:
    """What the broker answers, over a connection for this alone."""
    with amqp_extra():
        from taskgen.amqp.connection import connection  # noqa: PLC0415 - needs an extra

    async def work() -> T:
        async with connection(broker_url(amqp_url), "taskgen parked") as link:
            return await ask(link)

    return asyncio.run(work())
