"""What a board may send at most: boards are not trusted with the host's memory and disks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskgen.errors import SettingsError

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
"""No limit can be set higher: up to here a frame's size cannot be mistaken for the text of a document."""

MAX_UNSOLICITED_BYTES: Final = 16 * 1024 * 1024
"""Of frames that come while a task-set is handed over; a board that sends more is not followed further."""

MAX_BYTES_AFTER_STOP: Final = 64 * 1024 * 1024
"""Of frames that come before the end of a stopped run: several times what the sockets on the way can hold."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Checked before anything is allocated or parsed; a frame over one of them is quarantined."""

    frame_bytes: int = 1024 * 1024
    """Size of a frame."""
    depth: int = 32
    """How deep elements may be nested."""
    elements: int = 50_000
    """Number of elements in a frame."""
    attributes: int = 128
    """Of one element."""
    quarantined_pieces: int = 1_000
    """Of one run, or between two: beyond it what is no event is only counted, and the run is ended."""
    quarantined_bytes: int = 16 * 1024 * 1024
    """The same in bytes."""

    def __post_init__(self) -> None:
        if not 0 < self.frame_bytes <= MAX_FRAME_BYTES:
            raise SettingsError(f"frame_bytes has to be 1 to {MAX_FRAME_BYTES}, not {self.frame_bytes}")
        for name in ("quarantined_pieces", "quarantined_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} has to be 1 or more, not {getattr(self, name)}")


class Allowance:
    """How much is still kept of what a board sends and is no event, in one run or between two.

    Args:
        limits: beyond `quarantined_pieces` or `quarantined_bytes` it is only counted.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pieces = self._bytes = 0
        self._more_pieces = self._more_bytes = 0

    def take(self, data: bytes) -> bool:
        """Count a piece; returns whether it is to be kept."""
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
        """Why the board is not to be listened to any longer; empty while all was kept."""
        if not self._more_pieces:
            return ""
        return (
            f"the board sent more than {self._limits.quarantined_pieces:,} pieces or "
            f"{self._limits.quarantined_bytes:,} bytes that are no events"
        )

    @property
    def remainder(self) -> str:
        """What was only counted; empty if all was kept."""
        if not self._more_pieces:
            return ""
        return f"{self._more_pieces:,} more pieces of {self._more_bytes:,} bytes were counted and not kept"
