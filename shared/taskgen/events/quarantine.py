"""Keeps bytes that are not events if no handler does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from taskgen.event import AbstractEventHandler, Profile, Quarantined
from taskgen.taskset import TaskSet

QUARANTINE_FILE: Final = Path("taskgen-quarantine.jsonl")


class QuarantineFile(AbstractEventHandler):
    """Appends to a file, one JSON object per line; creates it with the first one.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path = QUARANTINE_FILE) -> None:
        self._path = path

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        """Ignore events: other handlers process them."""
        return True

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Append the reason, the bytes as base64, the board, the time and the run."""
        record = {
            "received_at": quarantined.received_at,
            "board": quarantined.board,
            "run_id": quarantined.run_id,
            "reason": quarantined.reason,
            "data_base64": base64.b64encode(quarantined.data).decode(),
        }
        with self._path.open("a", encoding="ascii") as file:
            file.write(json.dumps(record) + "\n")


def keeps_quarantine(handlers: Iterable[AbstractEventHandler]) -> bool:
    """Whether one of the handlers processes bytes that are not events."""
    nothing = AbstractEventHandler.__taskset_quarantine__
    return any(type(handler).__taskset_quarantine__ is not nothing for handler in handlers)
