"""The one thread in which handlers are called, in batches that end with a commit."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from taskgen.boards.limits import Limits
from taskgen.errors import DistributorError
from taskgen.event import AbstractEventHandler, Quarantined
from taskgen.execution.handler_chain import HandlerChain
from taskgen.run import Run, now
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_BATCH_CALLS: Final = 1_000
_BATCH_S: Final = 0.5
_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Of frames: once parsed, they take many times their size until they are committed."""


@dataclass(slots=True)
class Counters:
    """Counts of received data since the start."""

    frames: int = 0
    """Frames received from boards."""
    bytes: int = 0
    """Size of these frames."""
    events: int = 0
    """Events in them."""
    quarantined: int = 0
    """Frames, and parts of frames, that are not valid events."""


class Dispatcher:
    """Calls the handlers, one call at a time, in the order in which each board sent its frames.

    The first handler decides; the others observe. Handlers that store commit as soon as nothing more is
    waiting, or when a batch has grown large or old.

    Args:
        limits: on frames.
        handlers: the first decides.
    """

    def __init__(self, limits: Limits, handlers: Sequence[AbstractEventHandler] = ()) -> None:
        self.counters = Counters()
        self.handlers = HandlerChain(handlers)
        self.limits = limits
        self._quarantine_log = _QuarantineLog()
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._after_commit: list[Callable[[], None]] = []
        self._batch_bytes = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="taskgen-handlers", daemon=True)
        self._thread.start()

    def use(self, handlers: Sequence[AbstractEventHandler]) -> None:
        """Replace the handlers once all submitted work is done; call it while no run is in progress."""
        self.submit(partial(self._use, handlers))

    def check_may_wait(self) -> None:
        """Refuse a handler that wants to wait for the end of its own run.

        Raises:
            DistributorError: the caller is in the handlers' thread.
        """
        if threading.current_thread() is self._thread:
            raise DistributorError("a handler cannot wait for the end of its own run; write wait=False")

    def submit(self, call: Callable[[], None]) -> None:
        """Have a function called in the handlers' thread, after those submitted before it."""
        self._queue.put(call)

    async def caught_up(self) -> None:
        """Wait, in an asyncio loop, until everything submitted before this is done."""
        is_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.submit(partial(resolve_threadsafe, is_done))
        await is_done

    def close(self, timeout_s: float | None = None) -> bool:
        """Finish what is waiting, commit, and end the thread; returns False if that takes longer."""
        self.submit(self._mark_closed)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def quarantine_unsolicited(self, frame: bytes, board: str, reason: str) -> None:
        """Keep a frame that arrived while no run was in progress."""
        self.submit(partial(self.quarantine, Quarantined(brief(reason), frame, board, now())))

    # The methods below are called in the handlers' thread only.

    def quarantine(self, quarantined: Quarantined, taskset: TaskSet | None = None) -> None:
        """Count, log and keep bytes that are not events."""
        self.counters.quarantined += 1
        self._quarantine_log.log(quarantined)
        self.handlers.quarantine(taskset, quarantined)

    def end_run(self, taskset: TaskSet, run: Run, on_committed: Callable[[], None]) -> None:
        """Report the end of a run whose outcome is set; `on_committed` is called after the commit."""
        self._quarantine_log.log_total(run.board)
        self.handlers.end(taskset)
        self._after_commit.append(on_committed)

    def count_bytes(self, size: int) -> None:
        """Count bytes of frames towards the size of the batch."""
        self._batch_bytes += size

    def _work(self) -> None:
        while not self._is_closed:
            self.handlers.begin()
            for call in self._batch():
                try:
                    call()
                except Exception:  # catch everything: this thread serves every board
                    log.exception("internal error in the handlers' thread; continuing")
            self._commit()

    def _batch(self) -> Iterator[Callable[[], None]]:
        """Wait for a call, then yield the next ones until none is left or the batch is large or old."""
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
        self.handlers.commit()
        self.handlers = HandlerChain(handlers)
        self.handlers.begin()

    def _mark_closed(self) -> None:
        self._quarantine_log.log_totals()
        self._is_closed = True

    def _commit(self) -> None:
        self.handlers.commit()
        self._batch_bytes = 0
        callbacks, self._after_commit = self._after_commit, []
        for callback in callbacks:
            callback()


class _QuarantineLog:
    """Logs the first quarantined piece of each kind per run, and counts the others.

    A board that floods its lab must not fill the log too. A kind is the part of a reason before its colon,
    because the board may vary the rest indefinitely.
    """

    def __init__(self) -> None:
        self._run_ids: dict[str, str | None] = {}
        """By board: the run whose pieces are being counted, or None between two runs."""
        self._counts: dict[str, Counter[str]] = {}

    def log(self, quarantined: Quarantined) -> None:
        """Log it if it is the first of its kind, or count it."""
        board, run_id = quarantined.board, quarantined.run_id
        if board in self._counts and self._run_ids[board] != run_id:
            self.log_total(board)
        self._run_ids[board] = run_id
        kind = quarantined.reason.partition(":")[0]
        counts = self._counts.setdefault(board, Counter())
        counts[kind] += 1
        if counts[kind] == 1:
            log.warning(
                "%s: quarantined %d bytes: %s; others of this kind are only counted until the end of the run",
                board,
                len(quarantined.data),
                quarantined.reason,
                extra={"board": board, "run_id": run_id},
            )

    def log_total(self, board: str) -> None:
        """Log how many pieces of each kind there were; call it at the end of a run."""
        counts, run_id = self._counts.pop(board, Counter()), self._run_ids.pop(board, None)
        repeated = [f"{count:,} times {kind}" for kind, count in counts.items() if count > 1]
        if repeated:
            log.warning(
                "%s: quarantined in total: %s",
                board,
                ", ".join(repeated),
                extra={"board": board, "run_id": run_id},
            )

    def log_totals(self) -> None:
        """Call `log_total` for every board."""
        for board in list(self._counts):
            self.log_total(board)


def resolve_threadsafe(future: asyncio.Future[None]) -> None:
    """Resolve a future of an asyncio loop from another thread, unless its waiter was cancelled."""
    future.get_loop().call_soon_threadsafe(lambda: None if future.done() else future.set_result(None))
