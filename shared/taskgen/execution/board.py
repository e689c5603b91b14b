"""Serves boards: reconnects to each when it is lost, and gives it one run after the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from taskgen.backoff import Backoff
from taskgen.boards.address import Address
from taskgen.boards.binaries import digests
from taskgen.boards.limits import Allowance
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.boards.taskloader import TaskloaderSession
from taskgen.errors import BoardLeasedError, BoardProtocolError, SessionError, TaskSetError
from taskgen.execution.assignment import Assignment, AssignmentSource
from taskgen.execution.dispatcher import Dispatcher
from taskgen.execution.power import PowerCommands
from taskgen.execution.run_inbox import RunInbox
from taskgen.execution.run_loop import execute
from taskgen.retry_policy import RetryOn
from taskgen.run import Outcome, Run, now
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_LEASED_PAUSE_S: Final = 4.0
"""Between attempts to acquire a lease that another distributor holds."""


class BoardState(StrEnum):
    """What a board is doing, as far as this distributor knows."""

    LEASED_ELSEWHERE = "leased_elsewhere"
    """Another distributor holds its lease."""
    LOST = "lost"
    """It cannot be reached or does not answer."""
    IDLE = "idle"
    """It is connected and waiting for a task-set."""
    RUNNING = "running"
    """It is running a task-set."""


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """Settings for connecting to boards, using them and waiting for them."""

    session: SessionSettings = field(default_factory=SessionSettings)
    session_class: type[AbstractSession] = TaskloaderSession
    run_timeout_s: float | None = None
    """For a whole run, from START on; None: no limit."""
    longest_pause_s: float = 60.0
    """A lost board is retried with exponential back-off up to this pause."""
    power: PowerCommands = field(default_factory=PowerCommands)
    retry_on: frozenset[RetryOn] = frozenset()
    """Conditions under which a run that its handler ended is a fault of the board."""


BOARD_DEFAULTS: Final = BoardSettings()
NOT_TRIED: Final = "not connected yet"
"""The reason for which a board is lost at first."""


class Board:
    """Serves one board for as long as the distributor is open.

    Args:
        address: where it is; as text, its name.
        settings: for connecting to it and using it.
        source: provides its work.
        dispatcher: receives what it sends.
        lease: entered before connecting and left after disconnecting, for boards that distributors share.
    """

    def __init__(
        self,
        address: Address,
        settings: BoardSettings,
        source: AssignmentSource,
        dispatcher: Dispatcher,
        lease: Callable[[Address], AbstractAsyncContextManager[object]] = nullcontext,
    ) -> None:
        self.name = str(address)
        self.state = BoardState.LOST
        self.since = now()
        """When it entered its state; host's time, UTC, ISO 8601."""
        self.reason = NOT_TRIED
        """Why it is lost."""
        self.inbox: RunInbox | None = None
        """Of the run in progress."""
        self._address = address
        self._settings = settings
        self._source = source
        self._dispatcher = dispatcher
        self._lease = lease
        self._unsolicited = Allowance(settings.session.limits)
        self._session: AbstractSession | None = None
        self._is_cancelled = False
        self._was_reached = False
        self._runs = 0
        self._is_in_run = False
        self._power_due = time.monotonic() + settings.power.after_s

    async def serve(self) -> None:
        """Connect to the board and give it runs, indefinitely; reconnect when it is lost."""
        backoff = Backoff(self._settings.longest_pause_s)
        try:
            while True:
                if await self._serve_until_lost():
                    backoff.reset()
                    self._power_due = time.monotonic() + self._settings.power.after_s
                await self._use_power()
                is_leased = self.state is BoardState.LEASED_ELSEWHERE
                await asyncio.sleep(_LEASED_PAUSE_S if is_leased else backoff.next_pause_s())
        finally:
            self._log_unsolicited()

    async def _serve_until_lost(self) -> bool:
        """Serve the board until it is lost; return whether it had worked, so that back-off starts over."""
        began = time.monotonic()
        self._runs, self._is_in_run = 0, False
        try:
            await self._serve_connected()
        except BoardLeasedError as error:
            self._set(BoardState.LEASED_ELSEWHERE, str(error))
            return True
        except (SessionError, TaskSetError) as error:
            self._set(BoardState.LOST, str(error))
        except Exception as error:  # a session may be a user's own
            log.exception("%s: the session failed", self.name, extra={"board": self.name})
            self._set(BoardState.LOST, repr(error))
        was_stable = time.monotonic() - began > self._settings.longest_pause_s
        return bool(self._runs) or (was_stable and not self._is_in_run)

    async def _serve_connected(self) -> None:
        session_class, settings = self._settings.session_class, self._settings.session
        async with self._lease(self._address), session_class(self._address, settings) as session:
            while True:
                assignment = await self._take(session)
                if self._is_cancelled:
                    self._source.give_back(assignment)
                    continue
                if reason := session.refusal(assignment.taskset):
                    self._source.refused(assignment, reason)
                    continue
                self._is_in_run = True
                await self._run(session, assignment)
                self._runs, self._is_in_run = self._runs + 1, False

    @property
    def run(self) -> Run | None:
        """The run in progress."""
        inbox = self.inbox  # read once: other threads write it
        return inbox.run if inbox else None

    def stop_run(self, outcome: Outcome, reason: str = "") -> None:
        """End the run in progress; a task-set that was taken but not begun is given back."""
        if self.inbox is not None:
            self.inbox.decide(outcome, reason)
        self._is_cancelled = True

    async def switch_off(self) -> None:
        """Run the power command for the end; the board is no longer connected."""
        await self._settings.power.switch_off(self._address)

    async def reboot(self) -> None:
        """Reboot the board; a run in progress is lost.

        Raises:
            SessionError: the board is not connected.
        """
        if self._session is None:
            raise SessionError(f"{self.name} is not connected")
        await self._session.reboot()

    async def _take(self, session: AbstractSession) -> Assignment:
        """Wait for work; raises what breaks the connection meanwhile."""
        self._session, self._was_reached, self._is_cancelled = session, True, False
        self._set(BoardState.IDLE)
        taking = asyncio.create_task(self._source.take(self.name))
        listening = asyncio.create_task(self._listen(session))
        try:
            await asyncio.wait({taking, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            taking.cancel()
            await asyncio.wait({taking, listening})
        if not listening.cancelled():
            if not taking.cancelled():
                self._source.give_back(taking.result())
            listening.result()
        return taking.result()

    async def _listen(self, session: AbstractSession) -> None:
        """Quarantine what an idle board sends; returns only by raising an error."""
        allowance = Allowance(self._settings.session.limits)
        while True:
            try:
                frames = await session.receive(None)
            except BoardProtocolError as error:
                self._quarantine([error.data], str(error))
                raise
            self._quarantine(frames, "received while no run was in progress")
            await self._dispatcher.caught_up()
            if not all(map(allowance.take, frames)):
                raise BoardProtocolError(f"{allowance.reason}, while no run was in progress")

    async def _run(self, session: AbstractSession, assignment: Assignment) -> None:
        folder = self._settings.session.binaries
        run = Run(
            self.name,
            taskset_id=assignment.taskset_id,
            attempt=assignment.attempt.number,
            variant=assignment.variant,
            source=assignment.taskset.source,
            parameters=assignment.taskset.parameters,
            campaign=assignment.campaign,
            binaries=await asyncio.to_thread(digests, assignment.taskset, folder) if folder else {},
            origin=assignment.origin,
        )
        taskset = assignment.taskset.without_jobs()
        taskset.run = run
        self._source.begun(assignment, run)
        retry_on = self._settings.retry_on
        self.inbox = RunInbox(self._dispatcher, taskset, session.decode_checked, retry_on)
        self._set(BoardState.RUNNING)
        try:
            await execute(
                session, self.inbox, taskset, assignment.session_params, self._settings.run_timeout_s
            )
        finally:
            self.inbox = None
            unsolicited, session.unsolicited = session.unsolicited, []
            self._quarantine(unsolicited, "received before a run began, late from an earlier one")
            self._log_unsolicited()
            if run.outcome is None:  # the distributor is being closed
                run.outcome = Outcome.STOPPED_BY_USER
            self._source.ended(assignment, run)

    def _quarantine(self, frames: list[bytes], reason: str) -> None:
        for frame in frames:
            if self._unsolicited.take(frame):
                self._dispatcher.quarantine_unsolicited(frame, self.name, reason)

    def _log_unsolicited(self) -> None:
        """Log how much data was not kept since the end of the last run, and reset the count."""
        if self._unsolicited.remainder:
            log.warning(
                "%s: between two runs: %s", self.name, self._unsolicited.remainder, extra={"board": self.name}
            )
        self._unsolicited = Allowance(self._settings.session.limits)

    def _set(self, state: BoardState, reason: str = "") -> None:
        reason = brief(reason)
        if state is not BoardState.RUNNING and state is not BoardState.IDLE:
            self._session = None
        if state is BoardState.LOST and (self.state is not state or self.reason != reason):
            log.warning("%s: lost: %s", self.name, reason, extra={"board": self.name})
        if state is not self.state:
            self.since = now()
        self.state, self.reason = state, reason
        self._source.boards_changed()

    async def _use_power(self) -> None:
        """Run the power command for a board that stays lost, or is lost in every run."""
        if self.state is BoardState.LOST and time.monotonic() >= self._power_due:
            await self._settings.power.run(self._address, was_reached=self._was_reached)
            self._power_due = time.monotonic() + self._settings.power.after_s


class BoardPool:
    """All boards of a distributor, in one asyncio loop.

    Args:
        addresses: of the boards.
        settings: the same for all.
        source: provides their work.
        dispatcher: receives what they send.
        lease: see `Board`.
    """

    def __init__(
        self,
        addresses: Iterable[Address],
        settings: BoardSettings,
        source: AssignmentSource,
        dispatcher: Dispatcher,
        lease: Callable[[Address], AbstractAsyncContextManager[object]] = nullcontext,
    ) -> None:
        boards = [Board(address, settings, source, dispatcher, lease) for address in addresses]
        self.boards = {board.name: board for board in boards}

    async def serve(self) -> None:
        """Serve all boards until cancelled."""
        async with asyncio.TaskGroup() as group:
            for board in self.boards.values():
                group.create_task(board.serve(), name=board.name)

    async def switch_off(self) -> None:
        """Run the power command for the end on all boards at once."""
        async with asyncio.TaskGroup() as group:
            for board in self.boards.values():
                group.create_task(board.switch_off())

    def run_inboxes(self) -> list[RunInbox]:
        """Return the inboxes of the runs in progress."""
        return [board.inbox for board in self.boards.values() if board.inbox is not None]

    def stop_runs(self, outcome: Outcome, reason: str = "") -> None:
        """End all runs in progress or about to begin."""
        for board in self.boards.values():
            board.stop_run(outcome, reason)

    def has_others(self, tried: Collection[str]) -> bool:
        """Whether a board is available besides those given."""
        return any(
            board.state in {BoardState.IDLE, BoardState.RUNNING} and board.name not in tried
            for board in self.boards.values()
        )
