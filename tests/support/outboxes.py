"""Outboxes as distributors leave them."""

from collections.abc import Sequence
from pathlib import Path

from services.distributor.outbox import Change, Outbox


def leave_outbox_behind(folder: Path, changes: Sequence[Change]) -> None:
    """Leave what a distributor that was killed leaves: its file, and no lock."""
    dead = Outbox(folder, 2**30)
    dead.write(changes)
    dead._lock.close()
    dead._database.close()
