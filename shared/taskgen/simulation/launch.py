"""Launches simulated boards: where each one listens, and a thread that runs them beside synchronous code."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import islice
from threading import Thread
from typing import Final, Unpack

from taskgen.boards.address import DEFAULT_PORT
from taskgen.errors import AddressError
from taskgen.execution.file_limit import OTHER_FILES, allow_open_files
from taskgen.simulation.simulated_board import SimulatedBoard, SimulatedBoardSettings

_FILES_PER_BOARD: Final = 3
"""The listening socket and both ends of a connection, because the client of a test is in the same process."""
_LAST_PORT: Final = 65535
_EXAMPLES: Final = "write one such as 127.0.0.1, or a range such as 127.0.10.0/28"


@contextmanager
def run_boards(
    count: int | None = None,
    *,
    listen: str = "127.0.0.1:0",
    seed: int = 0,
    **settings: Unpack[SimulatedBoardSettings],
) -> Iterator[list[str]]:
    """Run simulated boards in one thread while the context is open.

    Args:
        count: how many; None: one, or all addresses of a range.
        listen: see `places`.
        seed: board number n gets `seed` + n.
        settings: keywords of `SimulatedBoard`.

    Yields:
        Their addresses, `host:port`.

    Raises:
        SettingsError, AddressError: see `SimulatedBoard`.
    """
    boards = make_boards(places(listen, count), seed, **settings)
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="simulated-boards", daemon=True)
    thread.start()
    try:
        opened = open_boards(boards)
        asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result()
        try:
            yield [board.address for board in boards]
        finally:
            asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def make_boards(
    where: Iterable[tuple[str, int]], seed: int = 0, **settings: Unpack[SimulatedBoardSettings]
) -> list[SimulatedBoard]:
    """Create a board for each place; none is listening yet, and number n has the seed `seed` + n."""
    return [
        SimulatedBoard(host, port, seed=seed + number, **settings)
        for number, (host, port) in enumerate(where)
    ]


@asynccontextmanager
async def open_boards(boards: list[SimulatedBoard]) -> AsyncIterator[None]:
    """Let all boards listen while the context is open."""
    allow_open_files(len(boards) * _FILES_PER_BOARD + OTHER_FILES)
    async with AsyncExitStack() as stack:
        for board in boards:
            await stack.enter_async_context(board)
        yield


def places(listen: str, count: int | None = None) -> list[tuple[str, int]]:
    """Return the address and port of each board.

    Args:
        listen: `ADDRESS` or `ADDRESS:PORT`: boards get successive ports (port 0: any free ones); a range
            such as `127.0.10.0/28:3001`: they get successive addresses with the same port.
        count: how many; None: one, or all of the range.

    Raises:
        AddressError: the address is not valid, or has no room for this many boards.
    """
    host, _, port_text = listen.partition(":")
    if port_text and not (port_text.isdecimal() and int(port_text) <= _LAST_PORT):
        raise AddressError(
            f"{listen!r}: {port_text!r} is not a port; write ADDRESS:PORT with 0 to {_LAST_PORT}"
        )
    port = int(port_text or DEFAULT_PORT)
    if count is not None and count < 1:
        raise AddressError(f"{count} boards: write 1 or more")
    try:
        addresses = list(map(str, islice(ipaddress.IPv4Network(host).hosts(), count)))
    except ValueError as error:
        raise AddressError(f"{host!r} is not an IPv4 address or range: {error}; {_EXAMPLES}") from error
    if "/" in host:
        if len(addresses) < (count or 0):
            raise AddressError(f"{host} has {len(addresses)} addresses, too few for {count} boards")
        return [(address, port) for address in addresses]
    count = count or 1
    if port and port + count - 1 > _LAST_PORT:
        raise AddressError(f"{count} boards from port {port}: ports end at {_LAST_PORT}; write a lower one")
    return [(host, port + number if port else 0) for number in range(count)]
