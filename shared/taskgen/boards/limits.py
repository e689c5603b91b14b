"""Limits on what a board may send: boards are not trusted with the host's memory and disks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskgen.errors import SettingsError

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
"""The highest limit that can be set: no smaller size can be mistaken for the text of a document."""

MAX_UNSOLICITED_BYTES: Final = 16 * 1024 * 1024
"""Of frames received while a task-set is handed over; a board that sends more is disconnected."""

MAX_BYTES_AFTER_STOP: Final = 64 * 1024 * 1024
"""Of frames received after STOP: several times what the sockets on the way can hold."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Checked before anything is allocated or parsed; a frame over a limit is quarantined."""

    frame_bytes: int = 1024 * 1024
    """Size of a frame."""
    depth: int = 32
    """How deep elements may be nested."""
    elements: int = 50_000
    """Number of elements in a frame."""
    attributes: int = 128
    """Of one element."""
    quarantined_pieces: int = 1_000
    """In one run, or between two; further pieces that are not events are only counted, and the run ends."""
    quarantined_bytes: int = 16 * 1024 * 1024
    """The same limit in bytes."""

    def __post_init__(self) -> None:
        if not 0 < self.frame_bytes <= MAX_FRAME_BYTES:
            raise SettingsError(f"frame_bytes has to be 1 to {MAX_FRAME_BYTES}, not {self.frame_bytes}")
        for name in ("quarantined_pieces", "quarantined_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} has to be 1 or more, not {getattr(self, name)}")


class Allowance:
    """Limits how much invalid data is kept, in one run of a board or between two.

    Args:
        limits: beyond `quarantined_pieces` or `quarantined_bytes`, pieces are only counted.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pieces = self._bytes = 0
        self._more_pieces = self._more_bytes = 0

    def take(self, data: bytes) -> bool:
        """Count a piece; return whether to keep it."""
        is_kept = (
            self._pieces < self._limits.quarantined_pieces and self._bytes < self._limits.quarantined_bytes
        )
        if is_kept:
            self._pieces += 1
            self._bytes += len(data)
        else:
            self._more_pieces += 1
            self._more_bytes += len(data)
        return is_kept

    @property
    def reason(self) -> str:
        """Why to stop listening to the board; empty if everything was kept."""
        if not self._more_pieces:
            return ""
        return (
            f"the board sent more than {self._limits.quarantined_pieces:,} pieces or "
            f"{self._limits.quarantined_bytes:,} bytes that are not events"
        )

    @property
    def remainder(self) -> str:
        """Describes what was only counted; empty if everything was kept."""
        if not self._more_pieces:
            return ""
        return f"{self._more_pieces:,} more pieces of {self._more_bytes:,} bytes were counted but not kept"
