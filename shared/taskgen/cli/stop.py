"""`taskgen stop`: stop runs, and cancel task-sets that wait for a board."""

from __future__ import annotations

from typing import Annotated

import typer

from taskgen.cli.broker import AmqpUrl, amqp_extra, ask_broker
from taskgen.cli.terminal import counted, progress_console, result_console
from taskgen.errors import SettingsError


def stop(
    name: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Id of a run, task-set or campaign, or a unique part of it."),
    ] = None,
    *,
    is_all: Annotated[
        bool, typer.Option("--all", metavar="", help="Stop every run and cancel every waiting task-set.")
    ] = False,
    amqp_url: AmqpUrl = None,
) -> None:
    """Stop runs, and cancel task-sets that wait for a board.

    Exits with 0 if all were stopped or cancelled; with 1 if no run or task-set has this id, or if a
    distributor could not be reached; and with 2 after a usage error.
    """
    if (name is None) is not is_all:
        raise SettingsError("give the id of a run, task-set or campaign, or --all")
    with amqp_extra():
        from taskgen.client.stop import stop_all, stop_one  # noqa: PLC0415 - needs an extra
    stopped = ask_broker(
        amqp_url, "stop", lambda link: stop_all(link) if name is None else stop_one(link, name)
    )
    runs, waiting = len(stopped.notified), stopped.cancelled
    result_console().print(
        f"{counted(runs, 'run')} stopping, {counted(waiting, 'waiting task-set')} cancelled"
    )
    for board in sorted(stopped.away):
        progress_console().print(f"{board}: cannot reach its distributor, so its run continues")
    is_any = bool(runs or waiting or is_all)
    if not is_any:
        progress_console().print(f"no running or queued run has id {name}")
    raise typer.Exit(0 if is_any and not stopped.away else 1)
