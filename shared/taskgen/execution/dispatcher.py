"""The one thread in which handlers are called, and the bounded way of a run's frames to it."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from taskgen.boards.limits import Allowance, Limits
from taskgen.boards.profile import read_profile
from taskgen.errors import DistributorError, ProfileError
from taskgen.event import AbstractEventHandler, Quarantined
from taskgen.execution.handler_chain import HandlerChain
from taskgen.execution.quarantine_log import QuarantineLog
from taskgen.run import Outcome, Run, now
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_MAX_PENDING_BYTES: Final = 256 * 1024
"""Of one run: above it the board's socket is not read until the handlers have caught up."""
_FRAME_BYTES: Final = 64
"""What an empty frame counts: it costs the host memory and time, though the board sends four bytes."""
_BATCH_CALLS: Final = 1_000
_BATCH_S: Final = 0.5
_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Of frames: parsed, they take many times their size until they are committed."""


@dataclass(slots=True)
class Counters:
    """What has gone through, since the start."""

    frames: int = 0
    """Frames received from boards."""
    bytes: int = 0
    """Size of these frames."""
    events: int = 0
    """Events in them."""
    quarantined: int = 0
    """Frames, and parts of frames, that could not be understood as events."""


class Dispatcher:
    """Calls the handlers, one call at a time, in the order in which each board said things.

    The first handler decides; the others watch. Handlers that store are made to commit when nothing more
    is waiting, or when a batch has grown large or old.

    Args:
        limits: what a frame may be.
        handlers: the first decides.
    """

    def __init__(self, limits: Limits, handlers: Sequence[AbstractEventHandler] = ()) -> None:
        self.counters = Counters()
        self.calls = HandlerChain(handlers)
        self.limits = limits
        self._quarantine_log = QuarantineLog()
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._committed: list[Callable[[], None]] = []
        self._batch_bytes = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="taskgen-handlers", daemon=True)
        self._thread.start()

    def use(self, handlers: Sequence[AbstractEventHandler]) -> None:
        """From its turn on, call these handlers; no run is on."""
        self.submit(partial(self._use, handlers))

    def check_may_wait(self) -> None:
        """See that the caller is not one whom others wait for.

        Raises:
            DistributorError: a handler wants to wait for what it keeps from happening.
        """
        if threading.current_thread() is self._thread:
            raise DistributorError("a handler cannot wait for the end of its own run: write wait=False")

    def submit(self, call: Callable[[], None]) -> None:
        """Have something done in the handlers' thread, in its turn."""
        self._queue.put(call)

    def count_bytes(self, size: int) -> None:
        """In the handlers' thread: so many bytes more are in the batch."""
        self._batch_bytes += size

    def after_commit(self, call: Callable[[], None]) -> None:
        """In the handlers' thread: do something when all that was given so far is committed."""
        self._committed.append(call)

    async def caught_up(self) -> None:
        """In an asyncio loop: wait until everything that was submitted before this is done."""
        is_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.submit(partial(_tell, is_done))
        await is_done

    def close(self, timeout_s: float | None = None) -> bool:
        """Let the handlers do what is waiting, commit, and end the thread; False if they do not in time."""
        self.submit(self._mark_closed)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def quarantine(self, quarantined: Quarantined, taskset: TaskSet | None = None) -> None:
        """In the handlers' thread: count, report and keep bytes that are no events."""
        self.counters.quarantined += 1
        self._quarantine_log.tell(quarantined)
        self.calls.quarantine(taskset, quarantined)

    def run_ended(self, taskset: TaskSet, run: Run) -> None:
        """In the handlers' thread: tell them the end of a run whose outcome is set."""
        self._quarantine_log.tell_total(run.board)
        self.calls.end(taskset)

    def quarantine_unsolicited(self, frame: bytes, board: str, reason: str) -> None:
        """Have a frame kept that came while no run was on."""
        self.submit(partial(self.quarantine, Quarantined(brief(reason), frame, board, now())))

    def _work(self) -> None:
        while not self._is_closed:
            self.calls.begin()
            for call in self._waiting():
                try:
                    call()
                except Exception:  # whatever it is: this thread serves every board
                    log.exception("a fault of taskgen's own in the handlers' thread; it goes on")
            self._commit()

    def _waiting(self) -> Iterator[Callable[[], None]]:
        """The next call and those behind it, until none is waiting or the batch is large or old."""
        yield self._queue.get()
        deadline = time.monotonic() + _BATCH_S
        for _ in range(_BATCH_CALLS):
            if self._batch_bytes > _BATCH_BYTES:
                return
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return
            if time.monotonic() > deadline:
                return

    def _use(self, handlers: Sequence[AbstractEventHandler]) -> None:
        self.calls.commit()
        self.calls = HandlerChain(handlers)
        self.calls.begin()

    def _mark_closed(self) -> None:
        self._quarantine_log.tell_totals()
        self._is_closed = True

    def _commit(self) -> None:
        self.calls.commit()
        self._batch_bytes = 0
        committed, self._committed = self._committed, []
        for call in committed:
            call()


class RunInbox:
    """One run's way into the handlers: its start, its frames, its end.

    Its methods are called in the asyncio loop; what they hand over is done in the handlers' thread.
    """

    def __init__(self, dispatcher: Dispatcher, taskset: TaskSet) -> None:
        assert taskset.run is not None  # noqa: S101 - the caller has just set it
        self.run: Run = taskset.run
        self._loop = asyncio.get_running_loop()
        self.decided: asyncio.Future[tuple[Outcome, str]] = self._loop.create_future()
        """The first word that the run is over: its outcome, and the reason where there is one."""
        self._dispatcher = dispatcher
        self._taskset = taskset
        self.heard_s = 0.0
        """What `put` was given with the last frame that was a profile."""
        self._junk = Allowance(dispatcher.limits)
        self._events = 0
        self._given_bytes = 0
        self._taken_bytes = 0
        self._room: asyncio.Event | None = None
        dispatcher.submit(lambda: dispatcher.calls.start(taskset))

    @property
    def flood(self) -> str:
        """Why the board is not to be listened to any longer; empty while it is."""
        return self._junk.reason

    def decide(self, outcome: Outcome, reason: str = "") -> None:
        """In the loop: say that the run is over; only the first word counts."""
        if not self.decided.done():
            self.decided.set_result((outcome, reason))

    async def put(self, frames: list[bytes], waited_s: float = 0.0) -> None:
        """Hand over frames just read; waits while the handlers are too far behind.

        Args:
            frames: the bodies.
            waited_s: how long, in the run so far, the board was waited for; see `heard_s`.
        """
        self._given_bytes += sum(map(_weight, frames))
        self._dispatcher.submit(partial(self._take, frames, now(), waited_s))
        if self._given_bytes - self._taken_bytes > _MAX_PENDING_BYTES:
            self._room = asyncio.Event()
            if self._given_bytes - self._taken_bytes > _MAX_PENDING_BYTES:
                await self._room.wait()
            self._room = None

    def quarantine(self, reason: str, data: bytes) -> None:
        """Have bytes of this run kept that are no frame."""
        self._dispatcher.submit(partial(self._quarantine, reason, data, now()))

    async def flush(self) -> None:
        """Wait until the handlers have seen all that was handed over."""
        await self._dispatcher.caught_up()

    async def end(self, outcome: Outcome, reason: str = "") -> None:
        """Close the run; returns when every handler was told and every store has committed it."""
        is_stored: asyncio.Future[None] = self._loop.create_future()
        self._dispatcher.submit(partial(self._end, outcome, reason, is_stored))
        await is_stored

    def _take(self, frames: list[bytes], received_at: str, waited_s: float) -> None:
        for frame in frames:
            try:
                self._take_frame(frame, received_at, waited_s)
            except Exception as error:  # noqa: BLE001 - whatever it is: other frames are behind this one
                self._dispatcher.calls.report("taskgen itself", error)
                self._quarantine(f"a fault of taskgen's own: {type(error).__name__}", frame, received_at)
            self._taken_bytes += _weight(frame)
            self._dispatcher.count_bytes(_weight(frame))
        room = self._room
        if room is not None and self._given_bytes - self._taken_bytes <= _MAX_PENDING_BYTES // 2:
            self._loop.call_soon_threadsafe(room.set)

    def _take_frame(self, frame: bytes, received_at: str, waited_s: float) -> None:
        counters, run = self._dispatcher.counters, self.run
        counters.frames += 1
        counters.bytes += len(frame)
        try:
            profile, rejected = read_profile(frame, self._dispatcher.limits)
        except ProfileError as error:
            self._quarantine(str(error), frame, received_at)
            return
        self.heard_s = waited_s
        for reason, data in rejected:
            self._quarantine(reason, data, received_at)
        events = len(profile["profile"]["events"]["event"])
        counters.events += events
        run.first_seq, run.received_at = self._events, received_at
        self._events += events
        if not self._dispatcher.calls.event(self._taskset, profile) and not self.decided.done():
            is_finished = self._taskset.is_terminated
            outcome = Outcome.FINISHED if is_finished else Outcome.STOPPED_BY_RULE
            self._loop.call_soon_threadsafe(self.decide, outcome)

    def _quarantine(self, reason: str, data: bytes, received_at: str) -> None:
        if not self._junk.take(data):
            if not self.decided.done():
                self._loop.call_soon_threadsafe(self.decide, Outcome.BOARD_ERROR, self.flood)
            return
        quarantined = Quarantined(brief(reason), data, self.run.board, received_at, self.run.run_id)
        self._dispatcher.quarantine(quarantined, self._taskset)

    def _end(self, outcome: Outcome, reason: str, is_stored: asyncio.Future[None]) -> None:
        run, remainder = self.run, self._junk.remainder
        if remainder:
            log.warning("%s: %s", run.board, remainder, extra={"board": run.board, "run_id": run.run_id})
        run.outcome, run.ended_at, run.events = outcome, now(), self._events
        run.reason = "; ".join(filter(None, (brief(reason), remainder)))
        self._dispatcher.run_ended(self._taskset, run)
        self._dispatcher.after_commit(lambda: _tell(is_stored))


def _weight(frame: bytes) -> int:
    return len(frame) + _FRAME_BYTES


def _tell(waited_for: asyncio.Future[None]) -> None:
    """From another thread: wake whoever waits."""
    waited_for.get_loop().call_soon_threadsafe(_set_done, waited_for)


def _set_done(waited_for: asyncio.Future[None]) -> None:
    if not waited_for.done():  # whoever waited may have been cancelled
        waited_for.set_result(None)
