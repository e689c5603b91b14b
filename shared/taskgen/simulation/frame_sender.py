"""Sends a board's answers and frames, with the faults that strike on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from taskgen.boards.taskloader_protocol import WORD, Answer
from taskgen.simulation import frames
from taskgen.simulation.faults import Fault, Faults
from taskgen.simulation.frames import Attributes

_MERGED_FRAMES: Final = 3
_MAX_PIECES: Final = 4
_PAUSE_S: Final = 0.0005
"""Between two pieces of a write: long enough for the kernel to send the first one by itself."""
_HUGE_SIZE: Final = 0xFFFFFFFF

Events = Sequence[Attributes]

Record = Callable[..., None]
"""Takes the events that were sent and, as keywords, the truth's `run`, `destroyed` and `late`."""


class FrameSender:
    """Sends one item at a time; cancel a task only while it does not hold the lock."""

    def __init__(self, writer: asyncio.StreamWriter, faults: Faults, record: Record, random: Random) -> None:
        self.lock = asyncio.Lock()
        """Held while anything is being sent."""
        self._writer = writer
        self._faults = faults
        self._record = record
        self._random = random
        self._is_silent = False
        self._held: list[tuple[bytes, Events, int]] = []

    async def answer(self, word: Answer) -> None:
        """Send an answer."""
        async with self.lock:
            await self._write(WORD.pack(word))

    async def send(self, document: bytes, events: Events = (), **more: str | int) -> None:
        """Send a frame that no fault can destroy."""
        async with self.lock:
            await self._release()
            await self._write(_frame(document), lambda: self._record(events, **more))

    async def send_run_events(self, events: Events, run: int) -> None:
        """Send a run's events of one instant, in one frame unless a fault changes that.

        The caller holds the lock, so that it can report an instant and keep track of it in one step.
        """
        groups = [[event] for event in events] if Fault.SINGLE_EVENT in self._faults else [events]
        for group in groups:
            await self._send_run_frame(group, run)

    async def release(self) -> None:
        """Send the frames that were held back to be sent together."""
        async with self.lock:
            await self._release()

    async def _send_run_frame(self, events: Events, run: int) -> None:
        document = frames.profile(events)
        if Fault.TRAILING_BYTES in self._faults:
            document = frames.with_left_over(document)
        if self._faults.strikes(Fault.GARBAGE_FRAME):
            await self._write(_frame(frames.GARBAGE))
        if await self._is_destroyed(document, events, run):
            return
        self._held.append((_frame(document), events, run))
        if Fault.MERGE_FRAMES not in self._faults or len(self._held) == _MERGED_FRAMES:
            await self._release()

    async def _is_destroyed(self, document: bytes, events: Events, run: int) -> bool:
        """Apply the faults that end the conversation."""
        whole = _frame(document)
        if self._faults.strikes(Fault.FREEZE):
            await self._release()
            self._is_silent = True
        elif self._faults.strikes(Fault.EOF_MID_FRAME):
            await self._destroy(whole[: WORD.size + len(document) // 2], events, run, Fault.EOF_MID_FRAME)
            self._writer.close()
        elif self._faults.strikes(Fault.HUGE_SIZE):
            await self._destroy(WORD.pack(_HUGE_SIZE) + document, events, run, Fault.HUGE_SIZE)
        return self._is_silent

    async def _destroy(self, data: bytes, events: Events, run: int, fault: Fault) -> None:
        await self._release()
        await self._write(data, lambda: self._record(events, run=run, destroyed=fault))
        self._is_silent = True

    async def _release(self) -> None:
        held, self._held = self._held, []
        if held:
            await self._write(b"".join(frame for frame, _, _ in held), lambda: self._record_all(held))

    def _record_all(self, held: Sequence[tuple[bytes, Events, int]]) -> None:
        for _, events, run in held:
            self._record(events, run=run)

    async def _write(self, data: bytes, on_sent: Callable[[], None] = lambda: None) -> None:
        """Send, unless the board has fallen silent; `on_sent` records what was sent.

        No other task runs between the last byte and `on_sent`: the client may close the connection as soon as
        it has read that byte, and what it has read must be recorded all the same.
        """
        *first_pieces, last_piece = self._pieces(data)
        for piece in first_pieces:
            if self._is_closed():
                return
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(_PAUSE_S)
        if self._is_closed():
            return
        self._writer.write(last_piece)
        on_sent()
        await self._writer.drain()

    def _is_closed(self) -> bool:
        return self._is_silent or self._writer.is_closing()

    def _pieces(self, data: bytes) -> list[bytes]:
        if Fault.SPLIT_WRITES not in self._faults:
            return [data]
        cuts = sorted(self._random.randrange(1, len(data)) for _ in range(_MAX_PIECES - 1))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


def _frame(document: bytes) -> bytes:
    return WORD.pack(len(document)) + document
