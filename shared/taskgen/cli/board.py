"""`taskgen board`: simulated boards, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from taskgen.boards.protocol import DEFAULT_PORT
from taskgen.errors import AddressError, SettingsError
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Fault
from taskgen.simulation.launch import make_boards, open_boards, places
from taskgen.simulation.simulated_board import SimulatedBoard
from taskgen.untrusted_text import printable

_MAX_LINES: Final = 16


def board(
    listen: Annotated[
        str,
        typer.Option(metavar="ADDRESS[:PORT]", help="Address, or a range of them such as 127.0.10.0/28."),
    ] = f"127.0.0.1:{DEFAULT_PORT}",
    count: Annotated[
        int | None,
        typer.Option(help="How many boards: on successive ports, or addresses of the range."),
    ] = None,
    speed: Annotated[float, typer.Option(help="How much faster the boards' time goes than ours.")] = 1.0,
    dialect: Annotated[
        str,
        typer.Option(
            metavar="|".join(Dialect),
            help="Their generation: old boards know no JOBS_DONE, AVAILABLE, REBOOT; the newest no OPTIMIZE, "
            "and they sleep through the offsets of all tasks while they start them.",
        ),
    ] = "new",
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"May be given several times: {', '.join(Fault)}."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Append every event sent to this JSON lines file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Varies run times, clocks and where faults strike.")] = 0,
    cores: Annotated[int, typer.Option(help="How many cores each board has.")] = 2,
) -> None:
    """Serve boards that need no hardware: they run the task-sets they are sent in a simulated schedule."""
    try:
        boards = make_boards(
            places(listen, count),
            seed,
            speed=speed,
            dialect=dialect,
            faults=fault or (),
            truth=truth,
            cores=cores,
        )
        asyncio.run(_serve(boards, Dialect(dialect), speed))
    except (AddressError, SettingsError) as error:
        typer.echo(f"taskgen board: {printable(error)}", err=True)
        raise typer.Exit(2) from error


async def _serve(boards: list[SimulatedBoard], dialect: Dialect, speed: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_boards(boards):
        _tell(boards, f"{dialect} dialect, speed {speed:g}")
        await stopped.wait()


def _tell(boards: list[SimulatedBoard], manner: str) -> None:
    if len(boards) > _MAX_LINES:
        typer.echo(f"{len(boards)} boards, {boards[0].address} to {boards[-1].address}, listening ({manner})")
        return
    for one in boards:
        typer.echo(f"board {one.address} listening ({manner})")
