"""All the boards of a distributor, in one asyncio loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext

from taskgen.boards.address import Address
from taskgen.execution.assignment import AssignmentSource
from taskgen.execution.board import Board, BoardSettings, BoardState
from taskgen.execution.dispatcher import Dispatcher
from taskgen.execution.run_inbox import RunInbox
from taskgen.run import Outcome


class BoardPool:
    """Serves boards until it is cancelled.

    Args:
        addresses: of the boards.
        settings: the same for all.
        source: gives them work.
        dispatcher: takes what they say.
        on_change: called with a board whenever its state has changed.
        lease: see `Board`.
    """

    def __init__(
        self,
        addresses: Iterable[Address],
        settings: BoardSettings,
        source: AssignmentSource,
        dispatcher: Dispatcher,
        on_change: Callable[[Board], None] = lambda _: None,
        lease: Callable[[Address], AbstractAsyncContextManager[object]] = lambda _: nullcontext(),
    ) -> None:
        self._source = source
        self._on_change = on_change
        self.boards = {
            str(address): Board(address, settings, source, dispatcher, self._changed, lease)
            for address in addresses
        }

    async def serve(self) -> None:
        """Serve all boards, for ever."""
        async with asyncio.TaskGroup() as group:
            for board in self.boards.values():
                group.create_task(board.serve(), name=board.name)

    def run_inboxes(self) -> list[RunInbox]:
        """Of the runs that are on."""
        return [board.inbox for board in self.boards.values() if board.inbox is not None]

    def stop_runs(self, outcome: Outcome, reason: str = "") -> None:
        """End all runs that are on, or about to begin."""
        for board in self.boards.values():
            board.stop_run(outcome, reason)

    def has_others(self, tried: Collection[str]) -> bool:
        """Whether a board is there now besides the ones given."""
        return any(
            board.state in {BoardState.IDLE, BoardState.RUNNING} and board.name not in tried
            for board in self.boards.values()
        )

    def _changed(self, board: Board) -> None:
        self._source.boards_changed()
        self._on_change(board)
