"""The work of a distributor in one process: one campaign after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection

from taskgen.execution.assignment import Assignment
from taskgen.execution.campaign import Campaign
from taskgen.run import Run


class CampaignSource:
    """The `AssignmentSource` that gives out the variants of a campaign.

    Args:
        has_others: whether a board is there now besides the ones given.
    """

    def __init__(self, has_others: Callable[[Collection[str]], bool]) -> None:
        self._has_others = has_others
        self._campaign: Campaign | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self.done = threading.Event()
        """Set while no campaign is going on; other threads wait for it."""
        self.done.set()

    def begin(self, campaign: Campaign) -> None:
        """Have the boards work on this from now on; the former one is done."""
        self._campaign = campaign
        self._changed()

    def stop(self) -> None:
        """Give out nothing more of the campaign."""
        if self._campaign is not None:
            self._campaign.stop()
            self._changed()

    async def take(self, board: str) -> Assignment:
        """See `AssignmentSource`."""
        while (assignment := self._next(board)) is None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(turn)
            try:
                await turn
            finally:
                self._waiting.discard(turn)
        return assignment

    def give_back(self, assignment: Assignment) -> None:
        """See `AssignmentSource`."""
        self._of_campaign().give_back(assignment)
        self._changed()

    def begun(self, assignment: Assignment, run: Run) -> None:
        """See `AssignmentSource`: it is counted already."""

    def ended(self, assignment: Assignment, run: Run) -> None:
        """See `AssignmentSource`."""
        self._of_campaign().ended(assignment, run)
        self._changed()

    def boards_changed(self) -> None:
        """See `AssignmentSource`."""
        self._changed()

    def _next(self, board: str) -> Assignment | None:
        return self._campaign.take(board, self._has_others) if self._campaign else None

    def _of_campaign(self) -> Campaign:
        if self._campaign is None:
            raise RuntimeError("no campaign was begun")
        return self._campaign

    def _changed(self) -> None:
        """Wake the boards that wait, if there may be something for them, and those that wait for the end."""
        if self._campaign is None:
            return
        if self._campaign.is_done:
            self.done.set()
        else:
            self.done.clear()
        for turn in self._waiting if self._campaign.has_work else ():
            if not turn.done():
                turn.set_result(None)
