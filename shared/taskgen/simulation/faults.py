"""The faults that a simulated board can have, and when they strike."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import StrEnum

from typing_extensions import override

from taskgen.errors import SettingsError


class Fault(StrEnum):
    """The switches of `taskgen board --fault`.

    Those marked (always) affect everything that a board sends; the others strike once in a board's life,
    early in its first run, so that another attempt succeeds.
    """

    SPLIT_WRITES = "split-writes"
    """Every write is split at random bytes (always)."""
    MERGE_FRAMES = "merge-frames"
    """Up to three frames are held back and sent in one write (always)."""
    SINGLE_EVENT = "single-event"
    """Every event has a frame of its own (always)."""
    TRAILING_BYTES = "trailing-bytes"
    """Left-over bytes of an earlier, longer document follow `</profile>`, within the size (always)."""
    LATE_EXIT_EXTERNAL = "late-exit-external"
    """Jobs that STOP and CLEAR kill are reported only when the client expects the next GO_SEND (always).

    If no job was killed, one EXIT_EXTERNAL is invented for the last task. With an even seed each such frame
    is exactly 144 = 0x90 bytes long, so that its size looks like a GO_SEND.
    """
    EOF_MID_FRAME = "eof-mid-frame"
    """The connection is closed in the middle of a frame."""
    FREEZE = "freeze"
    """Nothing more is sent until the client closes the connection."""
    GARBAGE_FRAME = "garbage-frame"
    """A frame of correct size that is not XML precedes a valid one."""
    HUGE_SIZE = "huge-size"
    """A frame's size is 0xFFFFFFFF; nothing more is sent until the client closes the connection."""
    MISSING_START = "missing-start"
    """The START of one job is not sent."""
    RESTARTED_CLOCK = "restarted-clock"
    """The time stamps restart at 0 in the middle of a run, and continue from there."""

    @override
    @classmethod
    def _missing_(cls, value: object) -> None:
        raise SettingsError(f"unknown fault {value!r}; choose from {', '.join(cls)}")


class Faults:
    """The faults of one board, and whether each has struck."""

    def __init__(self, names: Iterable[str], seed: int) -> None:
        self._all = frozenset(Fault(name) for name in names)
        self._opportunities_left = {fault: _opportunity(fault, seed) for fault in self._all}

    def __contains__(self, fault: Fault) -> bool:
        return fault in self._all

    def strikes(self, fault: Fault) -> bool:
        """Whether the fault strikes at this opportunity; it does so at one of them in the board's life."""
        if fault not in self._all:
            return False
        self._opportunities_left[fault] -= 1
        return self._opportunities_left[fault] == 0


def _opportunity(fault: Fault, seed: int) -> int:
    """Return the number of the frame (or START) at which the fault strikes, counted from 1."""
    if fault is Fault.RESTARTED_CLOCK:
        return 2
    if fault in (Fault.EOF_MID_FRAME, Fault.FREEZE, Fault.HUGE_SIZE):
        return 1 + zlib.crc32(f"{fault}/{seed}".encode()) % 2
    return 1
