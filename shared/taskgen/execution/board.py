"""One board of the pool: reached again and again, given one run after the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from taskgen.backoff import Backoff
from taskgen.boards.address import Address
from taskgen.boards.limits import Allowance
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.boards.taskloader import TaskloaderSession
from taskgen.errors import BoardLeasedError, BoardProtocolError, SessionError, TaskSetError
from taskgen.execution.assignment import Assignment, AssignmentSource
from taskgen.execution.dispatcher import Dispatcher
from taskgen.execution.power import PowerCommands
from taskgen.execution.run_inbox import RunInbox
from taskgen.execution.run_loop import execute
from taskgen.run import Outcome, Run, now
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_LEASED_PAUSE_S: Final = 4.0


class BoardState(StrEnum):
    """What a board is doing, as far as the distributor knows."""

    LEASED_ELSEWHERE = "leased_elsewhere"
    """Another distributor holds its lease."""
    LOST = "lost"
    """It cannot be reached, or does not answer."""
    IDLE = "idle"
    """It is connected and waits for a task-set."""
    RUNNING = "running"
    """It runs a task-set."""


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """How boards are reached, used and waited for."""

    session: SessionSettings = field(default_factory=SessionSettings)
    session_class: type[AbstractSession] = TaskloaderSession
    run_timeout_s: float | None = None
    """For a whole run, from START on; None: a run may take as long as it takes."""
    longest_pause_s: float = 60.0
    """A lost board is asked again after pauses that grow up to this."""
    power: PowerCommands = field(default_factory=PowerCommands)


BOARD_DEFAULTS: Final = BoardSettings()


class Board:
    """Serves one board for as long as the distributor is open.

    Args:
        address: where it is; as text, its name.
        settings: how it is reached and used.
        source: gives it work.
        dispatcher: takes what it says.
        on_change: called in the loop with the board whenever its state has changed.
        lease: entered before the board is reached, left after; for boards that several distributors share.
    """

    def __init__(
        self,
        address: Address,
        settings: BoardSettings,
        source: AssignmentSource,
        dispatcher: Dispatcher,
        on_change: Callable[[Board], None],
        lease: Callable[[Address], AbstractAsyncContextManager[object]] = nullcontext,
    ) -> None:
        self.name = str(address)
        self.state = BoardState.LOST
        self.since = now()
        """When it came into its state; host's time, UTC, ISO 8601."""
        self.reason = "not reached yet"
        """Why it is lost."""
        self.inbox: RunInbox | None = None
        """The run it is executing."""
        self._address = address
        self._settings = settings
        self._source = source
        self._dispatcher = dispatcher
        self._on_change = on_change
        self._lease = lease
        self._strays = Allowance(settings.session.limits)
        self._session: AbstractSession | None = None
        self._is_called_off = False
        self._was_there = False
        self._runs, self._is_in_run = 0, False
        self._power_due = time.monotonic() + settings.power.after_s

    async def serve(self) -> None:
        """Reach the board, give it runs, and begin again when it is lost; for ever."""
        backoff = Backoff(self._settings.longest_pause_s)
        try:
            while True:
                if await self._was_of_use():
                    backoff.reset()
                    self._power_due = time.monotonic() + self._settings.power.after_s
                await self._use_power()
                is_leased = self.state is BoardState.LEASED_ELSEWHERE
                await asyncio.sleep(_LEASED_PAUSE_S if is_leased else backoff.next_pause_s())
        finally:
            self._tell_strays()

    async def _was_of_use(self) -> bool:
        """Serve the board until it is lost; returns whether it is not to blame, as it did what it should."""
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
            log.exception("%s: its session failed", self.name, extra={"board": self.name})
            self._set(BoardState.LOST, repr(error))
        has_stood = time.monotonic() - began > self._settings.longest_pause_s
        return bool(self._runs) or (has_stood and not self._is_in_run)

    async def _serve_connected(self) -> None:
        async with self._lease(self._address), self._connection() as session:
            while True:
                assignment = await self._take(session)
                if self._is_called_off:
                    self._source.give_back(assignment)
                    continue
                self._is_in_run = True
                await self._run(session, assignment)
                self._runs, self._is_in_run = self._runs + 1, False

    def stop_run(self, outcome: Outcome, reason: str = "") -> None:
        """End the run that is on; a task-set that was just taken goes back instead of being run."""
        if self.inbox is not None:
            self.inbox.decide(outcome, reason)
        self._is_called_off = True

    async def reboot(self) -> None:
        """Start the board anew; a run on it is lost.

        Raises:
            SessionError: it is not there.
        """
        if self._session is None:
            raise SessionError(f"{self.name} is not connected")
        await self._session.reboot()

    def _connection(self) -> AbstractSession:
        return self._settings.session_class(self._address, self._settings.session)

    async def _take(self, session: AbstractSession) -> Assignment:
        """Wait for work, and for the board to break off meanwhile."""
        self._session, self._was_there, self._is_called_off = session, True, False
        self._set(BoardState.IDLE)
        taking = asyncio.create_task(self._source.take(self.name))
        watching = asyncio.create_task(self._watch(session))
        try:
            await asyncio.wait({taking, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            taking.cancel()
            await asyncio.wait({taking, watching})
        if not watching.cancelled():
            if not taking.cancelled():
                self._source.give_back(taking.result())
            watching.result()
        return taking.result()

    async def _watch(self, session: AbstractSession) -> None:
        """Keep what an idle board says; ends only by an error."""
        allowance = Allowance(self._settings.session.limits)
        while True:
            try:
                frames = await session.receive(None)
            except BoardProtocolError as error:
                self._quarantine([error.data], str(error))
                raise
            self._quarantine(frames, "came while no run was on")
            await self._dispatcher.caught_up()
            if not all(map(allowance.take, frames)):
                raise BoardProtocolError(f"{allowance.reason}, while no run was on")

    async def _run(self, session: AbstractSession, assignment: Assignment) -> None:
        run = Run(
            self.name,
            taskset_id=assignment.taskset_id,
            attempt=assignment.attempt.number,
            variant=assignment.variant,
            origin=assignment.origin,
        )
        taskset = assignment.taskset.without_jobs()
        taskset.run = run
        self._source.begun(assignment, run)
        self.inbox = RunInbox(self._dispatcher, taskset, session.decode_checked)
        self._set(BoardState.RUNNING)
        try:
            await execute(
                session, self.inbox, taskset, assignment.session_params, self._settings.run_timeout_s
            )
        finally:
            self.inbox = None
            unsolicited, session.unsolicited = session.unsolicited, []
            self._quarantine(unsolicited, "came before the start of a run, late from an earlier one")
            self._tell_strays()
            if run.outcome is None:  # the distributor is being ended
                run.outcome = Outcome.STOPPED_BY_USER
            self._source.ended(assignment, run)

    def _quarantine(self, frames: list[bytes], reason: str) -> None:
        for frame in frames:
            if self._strays.take(frame):
                self._dispatcher.quarantine_unsolicited(frame, self.name, reason)

    def _tell_strays(self) -> None:
        """Say how much of what came since the last run's end was not kept, and count anew."""
        if self._strays.remainder:
            log.warning(
                "%s: between two runs: %s", self.name, self._strays.remainder, extra={"board": self.name}
            )
        self._strays = Allowance(self._settings.session.limits)

    def _set(self, state: BoardState, reason: str = "") -> None:
        reason = brief(reason)
        if state is not BoardState.RUNNING and state is not BoardState.IDLE:
            self._session = None
        if state is BoardState.LOST and (self.state is not state or self.reason != reason):
            log.warning("%s: lost: %s", self.name, reason, extra={"board": self.name})
        if state is not self.state:
            self.since = now()
        self.state, self.reason = state, reason
        self._on_change(self)

    async def _use_power(self) -> None:
        """Run the lab's command for a board that stays lost, or is lost in every run that it is given."""
        if self.state is BoardState.LOST and time.monotonic() >= self._power_due:
            await self._settings.power.run(self._address, was_there=self._was_there)
            self._power_due = time.monotonic() + self._settings.power.after_s
