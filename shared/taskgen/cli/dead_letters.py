"""`taskgen dead-letters list|show|redrive|drop`: messages that a consumer could not process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer
from rich.table import Table

from taskgen.cli.broker import AmqpUrl, ManagementUrl, amqp_extra, ask_broker, broker_settings
from taskgen.cli.terminal import counted, result_console
from taskgen.errors import TopologyError
from taskgen.untrusted_text import brief, printable

if TYPE_CHECKING:
    from taskgen.amqp.connection import Connection
    from taskgen.amqp.dead_letters import DeadLetter

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, show, requeue or delete messages that failed.",
)

_SUFFIX: Final = ".parked"

T = TypeVar("T")

QueueName = Annotated[
    str, typer.Argument(metavar="QUEUE", help="Name of the queue, such as taskgen.sink.sqlite.")
]
MessageIds = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="ID", help="Only the message with this id. Can be repeated."),
]


@app.command("list")
def list_(
    queue: Annotated[
        str | None, typer.Argument(metavar="QUEUE", help="List the dead letters of this queue.")
    ] = None,
    *,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Count all dead letters, or list those of one queue."""
    if queue is None:
        _list_queues(amqp_url, management_url)
        return
    table = Table("id", "routing key", "bytes", "reason")
    for one in _dead_letters(queue, None, amqp_url):
        table.add_row(one.message_id, one.routing_key, str(len(one.delivery.body)), brief(one.reason))
    result_console().print(table)


@app.command()
def show(queue: QueueName, *, message_id: MessageIds = None, amqp_url: AmqpUrl = None) -> None:
    """Show dead letters in full: reason, headers and body."""
    for one in _dead_letters(queue, message_id, amqp_url):
        typer.echo(f"id           {printable(one.message_id)}")
        typer.echo(f"reason       {printable(one.reason)}")
        typer.echo(f"routing key  {printable(one.routing_key)}")
        for name, value in one.delivery.headers.items():
            typer.echo(f"header       {printable(name)}: {printable(value)}")
        body = one.delivery.body.decode(errors="backslashreplace")
        # Indented, so that no line of it looks like ours.
        lines = "\n             ".join(map(printable, body.split("\n")))
        typer.echo(f"body         {lines}\n")


@app.command()
def redrive(queue: QueueName, *, message_id: MessageIds = None, amqp_url: AmqpUrl = None) -> None:
    """Requeue dead letters, once the consumer is repaired."""
    name = _without_suffix(queue)
    count = ask_broker(
        amqp_url, "dead-letters", lambda link: _letters().redrive(link, name, _chosen(message_id))
    )
    typer.echo(f"{counted(count, 'message')} requeued into {printable(name)}")


@app.command()
def drop(
    queue: QueueName,
    *,
    message_id: MessageIds = None,
    is_sure: Annotated[bool, typer.Option("--yes", metavar="", help="Do not ask for confirmation.")] = False,
    amqp_url: AmqpUrl = None,
) -> None:
    """Delete dead letters permanently."""
    name = _without_suffix(queue)
    what = counted(len(message_id), "dead letter") if message_id else "all dead letters"
    if not is_sure:
        typer.confirm(f"Permanently delete {what} of {printable(name)}?", abort=True)
    count = ask_broker(
        amqp_url, "dead-letters", lambda link: _letters().drop(link, name, _chosen(message_id))
    )
    typer.echo(f"{counted(count, 'message')} deleted")


def _list_queues(amqp_url: str | None, management_url: str | None) -> None:
    """Count all queues' dead letters if the management API answers, else those of the standard queues."""
    with amqp_extra():
        from taskgen.amqp.management import find_management  # noqa: PLC0415 - needs an extra
        from taskgen.amqp.topology import all_queues  # noqa: PLC0415 - as above
    settings = broker_settings(amqp_url, management_url)
    management = find_management(settings.management_url, settings.amqp_url)
    if management is not None:
        names = [name for name in management.queues() if name.endswith(_SUFFIX)]
    else:
        names = [queue.dead_letters for queue in all_queues()]
        typer.echo(
            "no management API answers, so queues of handlers and other sinks are not listed", err=True
        )
    table = Table("queue", "dead letters")
    for name, count in ask_broker(
        amqp_url, "dead-letters", lambda link: _counts(link, sorted(names))
    ).items():
        table.add_row(_without_suffix(name), str(count))
    result_console().print(table)


async def _counts(link: Connection, names: list[str]) -> dict[str, int]:
    """Count the messages now; the management API's numbers are a few seconds old."""
    counts = {}
    for name in names:
        channel = await link.channel()  # closed by an error
        try:
            counts[name] = (await channel.queue_state(name)).messages
        except TopologyError:
            continue  # not every lab has every sink
    return counts


def _dead_letters(queue: str, message_ids: list[str] | None, amqp_url: str | None) -> list[DeadLetter]:
    is_chosen = _chosen(message_ids)
    found = ask_broker(
        amqp_url, "dead-letters", lambda link: _letters().dead_letters(link, _without_suffix(queue))
    )
    return [one for one in found if is_chosen(one)]


def _chosen(message_ids: list[str] | None) -> Callable[[DeadLetter], bool]:
    return lambda one: not message_ids or one.message_id in message_ids


def _without_suffix(queue: str) -> str:
    return queue.removesuffix(_SUFFIX)


def _ask(amqp_url: str | None, ask: Callable[[Connection], Awaitable[T]]) -> T:
    return ask_broker(amqp_url, "dead-letters", ask)


def _letters() -> ModuleType:
    with amqp_extra():
        from taskgen.amqp import dead_letters  # noqa: PLC0415 - needs an extra
    return dead_letters
