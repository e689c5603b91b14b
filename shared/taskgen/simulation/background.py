"""Simulated boards beside synchronous code: one thread with one loop, however many boards there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Final

from taskgen.execution.file_limit import OTHER_FILES, allow_open_files
from taskgen.simulation.board import BoardSettings, SimulatedBoard
from taskgen.simulation.listening import places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Unpack

_FILES_PER_BOARD: Final = 3
"""The listening socket and both ends of a connection, as tests have the client in the same process."""


@contextmanager
def run_boards(
    count: int | None = None, *, listen: str = "127.0.0.1:0", seed: int = 0, **settings: Unpack[BoardSettings]
) -> Iterator[list[str]]:
    """Run simulated boards while the context is open.

    Args:
        count: how many; None: one, or all addresses of a range.
        listen: see `listening.places`.
        seed: board number n gets this + n.
        settings: keywords of `SimulatedBoard`.

    Yields:
        Their addresses, `host:port`.

    Raises:
        SettingsError, AddressError: as `SimulatedBoard` does.
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
    where: Iterable[tuple[str, int]], seed: int = 0, **settings: Unpack[BoardSettings]
) -> list[SimulatedBoard]:
    """A board for each place, none listening yet; number n has the seed `seed` + n."""
    return [
        SimulatedBoard(host, port, seed=seed + number, **settings)
        for number, (host, port) in enumerate(where)
    ]


@asynccontextmanager
async def open_boards(boards: list[SimulatedBoard]) -> AsyncIterator[None]:
    """Let all of them listen."""
    allow_open_files(len(boards) * _FILES_PER_BOARD + OTHER_FILES)
    async with AsyncExitStack() as stack:
        for board in boards:
            await stack.enter_async_context(board)
        yield
