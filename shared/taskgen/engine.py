"""The thread that holds every board of one process, and the ways into it from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from taskgen.address import Address
from taskgen.board import BoardSettings, BoardState
from taskgen.campaign import Campaign
from taskgen.dispatch import Dispatcher
from taskgen.event import AbstractEventHandler
from taskgen.pool import Pool
from taskgen.run import Outcome
from taskgen.workload import Workload


class BoardStatus(NamedTuple):
    """What a board is doing."""

    name: str
    state: BoardState
    since: str
    """When that began; host's time, UTC, ISO 8601."""
    reason: str
    """Why it is lost."""


class Engine:
    """An asyncio loop in a thread of its own, in which a pool works through campaigns.

    All methods may be called from any other thread.
    """

    def __init__(self, addresses: Sequence[Address], settings: BoardSettings) -> None:
        self.dispatcher = Dispatcher(settings.session.limits)
        self._is_ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(addresses, settings)), name="taskgen-boards", daemon=True
        )
        self._thread.start()
        self._is_ready.wait()

    def begin(self, campaign: Campaign, handlers: Sequence[AbstractEventHandler]) -> None:
        """Have the boards work on a campaign; the one before is done."""
        self.dispatcher.use(handlers)
        asyncio.run_coroutine_threadsafe(self._begin(campaign), self._loop).result()

    def stop(self) -> None:
        """End the runs that are on, and give out no more of the campaign."""
        self._call(self._stop)

    def close(self) -> None:
        """Stop, let go of the boards, end the threads."""
        self._call(self._closing.set)

    def wait_done(self, timeout_s: float | None) -> bool:
        """Wait for the end of the campaign; False if it does not come in time."""
        self.dispatcher.check_may_wait()
        return self._workload.done.wait(timeout_s)

    def wait_closed(self, timeout_s: float | None) -> bool:
        """Wait for the end of the threads; False if it does not come in time."""
        self.dispatcher.check_may_wait()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def boards(self) -> list[BoardStatus]:
        """What each board is doing."""
        return [
            BoardStatus(board.name, board.state, board.since, board.reason)
            for board in self._pool.boards.values()
        ]

    async def _main(self, addresses: Sequence[Address], settings: BoardSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._workload = Workload(self._has_others)
        self._pool = Pool(addresses, settings, self._workload, self.dispatcher)
        serving = asyncio.create_task(self._pool.serve())
        self._is_ready.set()
        try:
            await self._closing.wait()
            self._stop()
            await asyncio.to_thread(self._workload.done.wait)
        finally:
            self._workload.done.set()
            serving.cancel()
            await asyncio.wait({serving})
            await asyncio.to_thread(self.dispatcher.close)

    async def _begin(self, campaign: Campaign) -> None:
        self._workload.begin(campaign)

    def _has_others(self, tried: set[str]) -> bool:
        return self._pool.has_others(tried)

    def _stop(self) -> None:
        self._workload.stop()
        self._pool.stop_runs(Outcome.STOPPED_BY_USER)

    def _call(self, call: Callable[[], None]) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(call)
