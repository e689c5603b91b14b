"""`taskgen board`: serve simulated boards until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from taskgen.boards.address import DEFAULT_PORT
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Fault
from taskgen.simulation.launch import make_boards, open_boards, places
from taskgen.simulation.simulated_board import SimulatedBoard

_MAX_LINES: Final = 16


def board(
    listen: Annotated[
        str,
        typer.Option(metavar="ADDRESS[:PORT]", help="Address or range to listen on, such as 127.0.10.0/28."),
    ] = f"127.0.0.1:{DEFAULT_PORT}",
    count: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of boards, on successive ports or addresses of the range."),
    ] = None,
    speed: Annotated[
        float, typer.Option(metavar="X", help="Run the boards X times faster than real time.")
    ] = 1.0,
    dialect: Annotated[
        str,
        typer.Option(
            metavar="|".join(Dialect),
            help="Generation of the boards: old ones lack JOBS_DONE, AVAILABLE and REBOOT; the newest "
            "ones lack OPTIMIZE and sleep through the offsets of all tasks while starting them.",
        ),
    ] = "new",
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Fault to simulate: {', '.join(Fault)}. Can be repeated."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append every event sent to this JSON Lines file.")
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed for run times, clocks and the places where faults strike.")
    ] = 0,
    cores: Annotated[int, typer.Option(metavar="N", help="Number of cores of each board.")] = 2,
) -> None:
    """Start simulated boards, which need no hardware."""
    where = places(listen, count)
    boards = make_boards(
        where, seed, speed=speed, dialect=dialect, faults=fault or (), truth=truth, cores=cores
    )
    asyncio.run(_serve(boards, Dialect(dialect), speed))


async def _serve(boards: list[SimulatedBoard], dialect: Dialect, speed: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_boards(boards):
        _announce(boards, f"{dialect} dialect, speed {speed:g}")
        await stopped.wait()


def _announce(boards: list[SimulatedBoard], mode: str) -> None:
    if len(boards) > _MAX_LINES:
        typer.echo(f"{len(boards)} boards, {boards[0].address} to {boards[-1].address}, listening ({mode})")
        return
    for one in boards:
        typer.echo(f"board {one.address} listening ({mode})")
