"""Passes one run to the handlers: `RunInbox` in the asyncio loop, `RunWorker` in the handlers' thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from taskgen.boards.limits import Allowance
from taskgen.boards.profile import Rejected
from taskgen.errors import ProfileError
from taskgen.event import Quarantined
from taskgen.execution.dispatcher import Dispatcher, resolve_threadsafe
from taskgen.retry_policy import RetryOn, ending
from taskgen.run import Outcome, Run, now
from taskgen.taskset import Profile, TaskSet
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_MAX_PENDING_BYTES: Final = 256 * 1024
"""Limit for one run: above it, the board's socket is not read until the handlers have caught up."""
_FRAME_OVERHEAD_BYTES: Final = 64
"""Added to every frame: an empty one costs memory and time too, although the board sends only four bytes."""


Decode = Callable[[bytes], tuple[Profile, list[Rejected]]]
"""The session's decoder of frames: `AbstractSession.decode_checked`."""


class RunInbox:
    """Takes a run's frames and its end; all methods are called in the asyncio loop.

    Args:
        dispatcher: of the handlers' thread.
        taskset: its `run` is set.
        decode: makes a profile of a frame.
        retry_on: see `retry_policy.ending`.
    """

    def __init__(
        self, dispatcher: Dispatcher, taskset: TaskSet, decode: Decode, retry_on: Collection[RetryOn] = ()
    ) -> None:
        assert taskset.run is not None  # noqa: S101 - the caller has just set it
        self.run: Run = taskset.run
        self._loop = asyncio.get_running_loop()
        self.decided: asyncio.Future[tuple[Outcome, str]] = self._loop.create_future()
        """The first decision that the run is over: its outcome, and the reason where there is one."""
        self._dispatcher = dispatcher
        self._backlog = _Backlog(self._loop)
        self._worker = RunWorker(
            dispatcher, taskset, decode, self._backlog, self._decide_threadsafe, retry_on
        )
        dispatcher.submit(self._worker.start)

    @property
    def heard_s(self) -> float:
        """The `waited_s` that came with the last frame that was a profile."""
        return self._worker.heard_s

    @property
    def flood(self) -> str:
        """Why to stop reading from the board; empty while reading continues."""
        return self._worker.junk.reason

    def decide(self, outcome: Outcome, reason: str = "") -> None:
        """Decide that the run is over; only the first decision counts."""
        if not self.decided.done():
            self.decided.set_result((outcome, reason))

    async def put(self, frames: list[bytes], waited_s: float = 0.0) -> None:
        """Hand over frames just read; waits while the handlers are too far behind.

        Args:
            frames: the bodies.
            waited_s: how long the run has waited for the board so far; see `heard_s`.
        """
        self._backlog.add(sum(map(_weight, frames)))
        self._dispatcher.submit(partial(self._worker.take, frames, now(), waited_s))
        await self._backlog.wait_for_room()

    def quarantine(self, reason: str, data: bytes) -> None:
        """Keep bytes of this run that are not a frame."""
        self._dispatcher.submit(partial(self._worker.quarantine, reason, data, now()))

    def mark_heard(self, waited_s: float) -> None:
        """Count the board as heard now, although it has nothing left to say."""
        self._worker.heard_s = waited_s

    async def flush(self) -> None:
        """Wait until the handlers have seen everything that was handed over."""
        await self._dispatcher.caught_up()

    async def end(self, outcome: Outcome, reason: str = "") -> None:
        """Close the run; returns when every handler has been called and every store has committed."""
        is_stored: asyncio.Future[None] = self._loop.create_future()
        on_committed = partial(resolve_threadsafe, is_stored)
        self._dispatcher.submit(partial(self._worker.end, outcome, reason, on_committed))
        await is_stored

    def _decide_threadsafe(self, outcome: Outcome, reason: str = "") -> None:
        if not self.decided.done():
            self._loop.call_soon_threadsafe(self.decide, outcome, reason)


class RunWorker:
    """Decodes a run's frames and calls the handlers; all methods are called in the handlers' thread.

    Args:
        dispatcher: holds the handlers and the counters.
        taskset: of the run, whose sequence number, time of reception and end are written here.
        decode: makes a profile of a frame.
        backlog: reduced by what has been handled.
        decide: reports that the run is over.
        retry_on: see `retry_policy.ending`.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        taskset: TaskSet,
        decode: Decode,
        backlog: _Backlog,
        decide: Callable[[Outcome, str], None],
        retry_on: Collection[RetryOn] = (),
    ) -> None:
        self.junk = Allowance(dispatcher.limits)
        self.heard_s = 0.0
        self._dispatcher = dispatcher
        self._taskset = taskset
        assert taskset.run is not None  # noqa: S101 - the caller has just set it
        self._run: Run = taskset.run
        self._decode = decode
        self._backlog = backlog
        self._decide = decide
        self._retry_on = retry_on
        self._events = 0

    def start(self) -> None:
        """Report that the run begins."""
        self._dispatcher.handlers.start(self._taskset)

    def take(self, frames: list[bytes], received_at: str, waited_s: float) -> None:
        """Handle frames; one that raises an unexpected error is quarantined, and the others are handled."""
        for frame in frames:
            try:
                self._take_frame(frame, received_at, waited_s)
            except Exception as error:  # noqa: BLE001 - whatever it is: other frames are behind this one
                self._dispatcher.handlers.report("taskgen itself", error)
                self.quarantine(f"internal error: {type(error).__name__}", frame, received_at)
            self._backlog.remove(_weight(frame))
            self._dispatcher.count_bytes(_weight(frame))
        self._backlog.wake_if_half_empty()

    def quarantine(self, reason: str, data: bytes, received_at: str) -> None:
        """Keep bytes that are not events; beyond the limit they are counted, and the run is ended."""
        if not self.junk.take(data):
            self._decide(Outcome.BOARD_ERROR, self.junk.reason)
            return
        quarantined = Quarantined(brief(reason), data, self._run.board, received_at, self._run.run_id)
        self._dispatcher.quarantine(quarantined, self._taskset)

    def end(self, outcome: Outcome, reason: str, on_committed: Callable[[], None]) -> None:
        """Report the run's end."""
        run, remainder = self._run, self.junk.remainder
        if remainder:
            log.warning("%s: %s", run.board, remainder, extra={"board": run.board, "run_id": run.run_id})
        run.outcome, run.ended_at, run.events = outcome, now(), self._events
        run.reason = "; ".join(filter(None, (brief(reason), remainder)))
        self._dispatcher.end_run(self._taskset, run, on_committed)

    def _take_frame(self, frame: bytes, received_at: str, waited_s: float) -> None:
        counters, run = self._dispatcher.counters, self._run
        counters.frames += 1
        counters.bytes += len(frame)
        try:
            profile, rejected = self._decode(frame)
        except ProfileError as error:
            self.quarantine(str(error), frame, received_at)
            return
        self.heard_s = waited_s
        for reason, data in rejected:
            self.quarantine(reason, data, received_at)
        events = len(profile["profile"]["events"]["event"])
        counters.events += events
        run.first_seq, run.received_at = self._events, received_at
        self._events += events
        decision = self._dispatcher.handlers.event(self._taskset, profile)
        if self._retry_on:
            self._taskset.apply(profile)  # for handlers that leave the tasks alone
        if not decision:
            self._decide(*ending(self._taskset, decision, self._retry_on))


class _Backlog:
    """Bytes handed over and not handled yet: the loop adds and waits, the handlers' thread removes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._added = 0
        self._removed = 0  # written by the handlers' thread alone, so neither number needs a lock
        self._room: asyncio.Event | None = None

    def add(self, size: int) -> None:
        self._added += size

    def remove(self, size: int) -> None:
        self._removed += size

    def wake_if_half_empty(self) -> None:
        room = self._room
        if room is not None and self._added - self._removed <= _MAX_PENDING_BYTES // 2:
            self._loop.call_soon_threadsafe(room.set)

    async def wait_for_room(self) -> None:
        if self._is_full:
            room = self._room = asyncio.Event()
            if self._is_full:  # otherwise it was emptied before the event could be set
                await room.wait()
            self._room = None

    @property
    def _is_full(self) -> bool:
        return self._added - self._removed > _MAX_PENDING_BYTES


def _weight(frame: bytes) -> int:
    return len(frame) + _FRAME_OVERHEAD_BYTES
