"""`taskgen stop`: runs are stopped, and what waits is called off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from taskgen.cli.broker import AmqpUrl, amqp_extra, broker_url
from taskgen.cli.terminal import progress_console, result_console
from taskgen.errors import SettingsError

if TYPE_CHECKING:
    from taskgen.client.stop import Stopped


def stop(
    name: Annotated[
        str | None, typer.Argument(metavar="RUN|TASKSET", help="Id of a run or a task-set.")
    ] = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="Everything that runs or waits.")] = False,
    amqp_url: AmqpUrl = None,
) -> None:
    """Stop runs on their boards, and call off task-sets that wait for one.

    Exit code: 0 it was passed on, 1 there is no such run or task-set, or a board could not be told.
    """
    if (name is None) is not is_all:
        raise SettingsError("give the id of a run or a task-set, or --all")
    stopped = asyncio.run(_stop(broker_url(amqp_url), name))
    told, called_off = len(stopped.told), stopped.called_off
    result_console().print(f"{told:,} runs told to stop, {called_off:,} waiting task-sets called off")
    for board in sorted(stopped.away):
        progress_console().print(f"{board}: its distributor is away, so its run goes on")
    is_any = bool(told or called_off or is_all)
    if not is_any:
        progress_console().print(f"nothing that runs or waits has the id {name}")
    raise typer.Exit(0 if is_any and not stopped.away else 1)


async def _stop(url: str, name: str | None) -> Stopped:
    with amqp_extra():
        from taskgen.amqp.connection import connection  # noqa: PLC0415 - needs an extra
        from taskgen.client.stop import stop_all, stop_one  # noqa: PLC0415 - as above
    async with connection(url, "taskgen stop") as link:
        return await (stop_all(link) if name is None else stop_one(link, name))
