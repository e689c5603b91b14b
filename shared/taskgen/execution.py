"""One run on a connected board, from its start to its outcome."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from taskgen.dispatch import Feed
from taskgen.errors import BoardLostError, BoardProtocolError, BoardSilentError, SessionError, TaskgenError
from taskgen.run import Outcome
from taskgen.session import AbstractSession
from taskgen.taskset import TaskSet

log = logging.getLogger(__name__)


async def execute(
    session: AbstractSession,
    feed: Feed,
    taskset: TaskSet,
    session_params: tuple[Any, ...],
    run_timeout_s: float | None,
) -> None:
    """Start the task-set, hand over what the board says until the run is over, stop it, close the run.

    Args:
        session: connected, with no run on.
        feed: takes the frames, and holds the decision.
        taskset: its `run` is set.
        session_params: for `AbstractSession.start`.
        run_timeout_s: for the run, from the moment when the board was told to start it.

    Raises:
        SessionError: the session is of no further use; the run is closed all the same.
    """
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    driving = asyncio.create_task(_drive(session, feed, taskset, session_params, started))
    try:
        ends: set[asyncio.Future[Any]] = {driving, feed.decided}
        await asyncio.wait(ends | {started}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(ends, timeout=run_timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        driving.cancel()
        await asyncio.wait({driving})
    failure = None if driving.cancelled() else driving.exception()
    outcome, reason = await _outcome(feed, failure, run_timeout_s)
    if failure is None and not started.done():
        failure = BoardLostError("called off while it was being handed over")
    if failure is None:
        failure = await _wind_up(session, feed, outcome)
        if failure is not None and outcome is Outcome.TIMED_OUT:  # the time may have passed in a dead board
            outcome, reason = Outcome.BOARD_LOST, f"{reason}, and not to be stopped: {failure}"
    if isinstance(failure, BoardProtocolError) and failure.data:
        feed.quarantine(str(failure), failure.data)
    await feed.end(outcome, reason)
    if failure is not None:
        raise failure


async def _drive(
    session: AbstractSession,
    feed: Feed,
    taskset: TaskSet,
    session_params: tuple[Any, ...],
    started: asyncio.Future[None],
) -> None:
    await session.start(taskset, *session_params)
    started.set_result(None)
    while True:
        try:
            await feed.put(await session.receive(session.settings.silence_timeout_s))
        except BoardSilentError:
            await feed.flush()
            if not taskset.is_terminated:
                raise  # else the board has nothing left to say, and the decision is late


async def _outcome(
    feed: Feed, failure: BaseException | None, run_timeout_s: float | None
) -> tuple[Outcome, str]:
    """What the run came to, once the handlers have seen all: their word counts more than a late fault."""
    await feed.flush()
    if feed.decided.done():
        return feed.decided.result()
    if failure is None:
        return Outcome.TIMED_OUT, f"not over within {run_timeout_s:g} s"
    if isinstance(failure, BoardLostError):
        return Outcome.BOARD_LOST, str(failure)
    return Outcome.BOARD_ERROR, str(failure) if isinstance(failure, TaskgenError) else repr(failure)


async def _wind_up(session: AbstractSession, feed: Feed, outcome: Outcome) -> SessionError | None:
    """Stop the board and take what it still reports of this run; returns why that failed."""
    try:
        await session.stop(is_finished=outcome is Outcome.FINISHED)
        while frames := await session.receive(session.settings.silence_timeout_s):
            await feed.put(frames)
    except SessionError as error:
        log.warning("%s: lost after its run: %s", feed.run.board, error, extra={"board": feed.run.board})
        return error
    return None
