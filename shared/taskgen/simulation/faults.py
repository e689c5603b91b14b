"""The faults that a simulated board can be told to have, and when they strike."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from taskgen.errors import SettingsError


class Fault(StrEnum):
    """The switches of `taskgen board --fault`.

    Those marked (always) are a manner of speaking; the others strike once in a board's life, early in its
    first run, so that another attempt succeeds.
    """

    SPLIT_WRITES = "split-writes"
    """Every write goes out in pieces, split at random bytes (always)."""
    MERGE_FRAMES = "merge-frames"
    """Up to three frames are held and go out in one write (always)."""
    SINGLE_EVENT = "single-event"
    """Every event has a frame of its own (always)."""
    TRAILING_BYTES = "trailing-bytes"
    """Left-over bytes of an older, longer document follow `</profile>`, inside the size (always)."""
    LATE_EXIT_EXTERNAL = "late-exit-external"
    """What STOP and CLEAR kill is told only when the client awaits the next GO_SEND (always).

    If nothing was killed, one EXIT_EXTERNAL is made up for the last task. With an even seed each such frame
    is exactly 144 = 0x90 bytes long, so that its size looks like a GO_SEND.
    """
    EOF_MID_FRAME = "eof-mid-frame"
    """The connection is closed in the middle of a frame."""
    FREEZE = "freeze"
    """Not a word more until the client closes the connection."""
    GARBAGE_FRAME = "garbage-frame"
    """A frame of correct size that is not XML, before a good one."""
    HUGE_SIZE = "huge-size"
    """A frame's size is 0xFFFFFFFF; not a word more until the client closes the connection."""
    MISSING_START = "missing-start"
    """The START of one job is not sent."""
    RESTARTED_CLOCK = "restarted-clock"
    """The time stamps restart near 0 in the middle of a run, and go on from there."""

    @classmethod
    def named(cls, name: str) -> Fault:
        """The fault of this name.

        Raises:
            SettingsError: there is none.
        """
        try:
            return cls(name)
        except ValueError as error:
            raise SettingsError(f"no fault {name!r}; there are {', '.join(cls)}") from error


_IN_SECOND_FRAME: Final = frozenset({Fault.RESTARTED_CLOCK})
_IN_FIRST_OR_SECOND_FRAME: Final = frozenset({Fault.EOF_MID_FRAME, Fault.FREEZE, Fault.HUGE_SIZE})


class Faults:
    """One board's faults: which it has, and which have struck."""

    def __init__(self, names: Iterable[str], seed: int) -> None:
        self._all = frozenset(Fault.named(name) for name in names)
        self._chances_left = {fault: _chance(fault, seed) for fault in self._all}

    def __contains__(self, fault: Fault) -> bool:
        return fault in self._all

    def strikes(self, fault: Fault) -> bool:
        """Whether it strikes at this chance; it does so at one chance in the board's life."""
        if fault not in self._all:
            return False
        self._chances_left[fault] -= 1
        return self._chances_left[fault] == 0


def _chance(fault: Fault, seed: int) -> int:
    """At the how manyth frame (or START) it strikes."""
    if fault in _IN_SECOND_FRAME:
        return 2
    if fault in _IN_FIRST_OR_SECOND_FRAME:
        return 1 + zlib.crc32(f"{fault}/{seed}".encode()) % 2
    return 1
