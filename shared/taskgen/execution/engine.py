"""The thread in which one process serves its boards, and how other threads use it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import NamedTuple

from taskgen.boards.address import Address
from taskgen.errors import DistributorError, first_error
from taskgen.event import AbstractEventHandler
from taskgen.execution.board import BoardPool, BoardSettings, BoardState
from taskgen.execution.campaign import Campaign, CampaignSource
from taskgen.execution.dispatcher import Dispatcher
from taskgen.execution.file_limit import allow_boards
from taskgen.run import Outcome, Run


class BoardStatus(NamedTuple):
    """The state of a board."""

    name: str
    """`host:port`."""
    state: BoardState
    """Its activity."""
    since: str
    """When it entered this state; host's time, UTC, ISO 8601."""
    reason: str
    """Why it is lost."""
    run: Run | None
    """The run in progress."""


class Engine:
    """An asyncio loop in a thread of its own, in which a pool of boards runs campaigns.

    All methods may be called from any other thread.

    Raises:
        SettingsError: there are more boards than files that this process may open.
        DistributorError: the thread could not start.
    """

    def __init__(self, addresses: Sequence[Address], settings: BoardSettings) -> None:
        allow_boards(len(addresses))
        self.dispatcher = Dispatcher(settings.session.limits)
        self._closing = asyncio.Event()
        self._source = CampaignSource(self._has_others)
        self._pool = BoardPool(addresses, settings, self._source, self.dispatcher)
        self._failure: BaseException | None = None
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="taskgen-boards", daemon=True)
        self._thread.start()
        self._is_ready.wait()
        self._check_alive()

    def begin(self, campaign: Campaign, handlers: Sequence[AbstractEventHandler]) -> None:
        """Begin a campaign; the previous one is done.

        Raises:
            DistributorError: the thread has died.
        """
        self._check_alive()
        self.dispatcher.use(handlers)
        asyncio.run_coroutine_threadsafe(self._begin(campaign), self._loop).result()

    def stop(self) -> None:
        """End the runs in progress, and cancel the variants that have not begun."""
        self._call(self._stop)

    def close(self) -> None:
        """Stop, disconnect from the boards, and end the threads."""
        self._call(self._closing.set)

    def wait_done(self, timeout_s: float | None) -> bool:
        """Wait for the end of the campaign; return False if the time is up before.

        Raises:
            DistributorError: the thread has died, or the caller is a handler.
        """
        self.dispatcher.check_may_wait()
        is_done = self._source.done.wait(timeout_s)
        self._check_alive()
        return is_done

    def wait_closed(self, timeout_s: float | None) -> bool:
        """Wait for the end of the threads; return False if the time is up before."""
        self.dispatcher.check_may_wait()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def boards(self) -> list[BoardStatus]:
        """Return the state of each board."""
        return [
            BoardStatus(board.name, board.state, board.since, board.reason, board.run)
            for board in self._pool.boards.values()
        ]

    def _check_alive(self) -> None:
        if self._failure is not None:
            reason = first_error(self._failure)
            raise DistributorError(f"the boards' thread has died: {reason!r}") from self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again in the threads that wait
            self._failure = error
        finally:
            self.dispatcher.close()
            self._source.done.set()
            self._is_ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._serve()
        except BaseException as error:
            self._failure = error  # before the threads that wait for `done` wake up
            raise
        finally:
            self._source.done.set()
            await asyncio.to_thread(self.dispatcher.close)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._pool.serve())
            self._is_ready.set()
            await self._closing.wait()
            self._stop()
            await asyncio.to_thread(self._source.done.wait)
            serving.cancel()
        await self._pool.switch_off()

    async def _begin(self, campaign: Campaign) -> None:
        self._source.begin(campaign)

    def _has_others(self, tried: Collection[str]) -> bool:
        return self._pool.has_others(tried)

    def _stop(self) -> None:
        self._source.stop()
        self._pool.stop_runs(Outcome.STOPPED_BY_USER)

    def _call(self, call: Callable[[], None]) -> None:
        if self._thread.is_alive():
            with suppress(RuntimeError):  # its loop has just ended
                self._loop.call_soon_threadsafe(call)
