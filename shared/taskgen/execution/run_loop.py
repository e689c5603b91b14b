"""One run on a connected board, from its start to its outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from taskgen.boards.session import AbstractSession
from taskgen.errors import BoardLostError, BoardProtocolError, BoardSilentError, SessionError, TaskgenError
from taskgen.execution.run_inbox import RunInbox
from taskgen.run import Outcome
from taskgen.taskset import TaskSet

log = logging.getLogger(__name__)

_SHORTEST_WAIT_S: Final = 0.1
"""Lets the loop read all data that has already arrived, however long the process was suspended."""


async def execute(
    session: AbstractSession,
    inbox: RunInbox,
    taskset: TaskSet,
    session_params: tuple[Any, ...],
    run_timeout_s: float | None,
) -> None:
    """Start the task-set, pass on what the board sends until the run is over, stop it, and end the run.

    Args:
        session: connected, with no run in progress.
        inbox: takes the frames, and has the decision.
        taskset: its `run` is set.
        session_params: for `AbstractSession.start`.
        run_timeout_s: for the run, from the moment at which START was sent.

    Raises:
        SessionError: the session cannot be used any further; the run has been ended nevertheless.
    """
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    driving = asyncio.create_task(_drive(session, inbox, taskset, session_params, started))
    try:
        ends: set[asyncio.Future[Any]] = {driving, inbox.decided}
        await asyncio.wait(ends | {started}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(ends, timeout=run_timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        driving.cancel()
        await asyncio.wait({driving})
    failure = None if driving.cancelled() else driving.exception()
    outcome, reason = await _outcome(inbox, failure, run_timeout_s)
    if failure is None and not started.done():
        failure = BoardLostError("cancelled while it was being sent to the board")
    if failure is None:
        failure = await _stop(session, inbox, outcome)
        if (
            failure is not None and outcome is Outcome.TIMED_OUT
        ):  # the board may have been dead from the start
            outcome, reason = Outcome.BOARD_LOST, f"{reason}, and could not be stopped: {failure}"
    if isinstance(failure, BoardProtocolError) and failure.data:
        inbox.quarantine(str(failure), failure.data)
    await inbox.end(outcome, reason)
    if failure is not None:
        raise failure


async def _drive(
    session: AbstractSession,
    inbox: RunInbox,
    taskset: TaskSet,
    session_params: tuple[Any, ...],
    started: asyncio.Future[None],
) -> None:
    await session.start(taskset, *session_params)
    started.set_result(None)
    await _listen(session, inbox, taskset)


async def _listen(session: AbstractSession, inbox: RunInbox, taskset: TaskSet) -> None:
    """Pass on what the board sends; returns only by raising an error.

    The board is lost after `silence_timeout_s` without a profile; other frames do not count. Only the time
    spent waiting counts, not that of slow handlers or of a board that is asleep.
    """
    silence_s, waited_s, spoke_s = session.settings.silence_timeout_s, 0.0, 0.0
    while True:
        heard_s, asleep_s, began = inbox.heard_s, session.asleep_s, time.monotonic()
        left_s = silence_s - (waited_s - heard_s)
        frames = await _frames(session, max(_SHORTEST_WAIT_S, left_s) + asleep_s)
        waited_s += max(0.0, time.monotonic() - began - asleep_s)
        if frames:
            spoke_s = waited_s
            await inbox.put(frames, waited_s)
            if left_s > 0:
                continue
        await inbox.flush()
        if taskset.is_terminated:
            inbox.mark_heard(waited_s)  # the board has nothing left to send; only the decision is late
        elif inbox.heard_s == heard_s and spoke_s > heard_s:
            raise BoardProtocolError(f"for {silence_s:g} s the board sent only frames that are not profiles")
        elif inbox.heard_s == heard_s:
            raise BoardSilentError(f"the board was silent for {silence_s:g} s")


async def _frames(session: AbstractSession, timeout_s: float) -> list[bytes]:
    """Return what has arrived; nothing if the board was silent until the timeout."""
    try:
        return await session.receive(timeout_s)
    except BoardSilentError:
        return []


async def _outcome(
    inbox: RunInbox, failure: BaseException | None, run_timeout_s: float | None
) -> tuple[Outcome, str]:
    """Return the decision, which outranks a late fault: without one, the handlers see everything first."""
    if not inbox.decided.done():
        await inbox.flush()
    if inbox.decided.done():
        return inbox.decided.result()
    if failure is None:
        return Outcome.TIMED_OUT, f"did not end within {run_timeout_s:g} s"
    if isinstance(failure, BoardLostError):
        return Outcome.BOARD_LOST, str(failure)
    return Outcome.BOARD_ERROR, str(failure) if isinstance(failure, TaskgenError) else repr(failure)


async def _stop(session: AbstractSession, inbox: RunInbox, outcome: Outcome) -> SessionError | None:
    """Stop the board and pass on what it still sends; return the error if that failed."""
    try:
        await session.stop(is_finished=outcome is Outcome.FINISHED)
        while frames := await session.receive(session.settings.silence_timeout_s):
            await inbox.put(frames)
            if inbox.flood:
                raise BoardProtocolError(inbox.flood)
    except SessionError as error:
        log.warning("%s: lost after its run: %s", inbox.run.board, error, extra={"board": inbox.run.board})
        return error
    return None
