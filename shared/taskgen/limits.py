"""What a board may send at most: boards are not trusted with the host's memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskgen.errors import SettingsError

LARGEST_FRAME_BYTES: Final = 64 * 1024 * 1024
"""No limit can be set higher: up to here a frame's size cannot be mistaken for the text of a document."""

MOST_STRAY_BYTES: Final = 16 * 1024 * 1024
"""Of frames that come while a task-set is handed over; a board that sends more is not followed further."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Checked before anything is allocated or parsed; a frame over one of them is quarantined."""

    frame_bytes: int = 1024 * 1024
    depth: int = 32
    elements: int = 50_000
    attributes: int = 128
    """Of one element."""

    def __post_init__(self) -> None:
        if not 0 < self.frame_bytes <= LARGEST_FRAME_BYTES:
            raise SettingsError(f"frame_bytes has to be 1 to {LARGEST_FRAME_BYTES}, not {self.frame_bytes}")
