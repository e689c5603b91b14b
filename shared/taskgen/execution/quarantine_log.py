"""What the log says of quarantined bytes: a board that floods its lab must not fill the log too."""

from __future__ import annotations

import logging
from collections import Counter

from taskgen.event import Quarantined

log = logging.getLogger(__name__)


class QuarantineLog:
    """Tells the first piece of a kind that a run of a board had, or a board without a run; counts the others.

    A kind is what a reason says before its colon: what comes behind it the board may vary for ever.
    """

    def __init__(self) -> None:
        self._run_ids: dict[str, str | None] = {}
        """By board, whose pieces are being counted."""
        self._counts: dict[str, Counter[str]] = {}

    def tell(self, quarantined: Quarantined) -> None:
        """Say it or count it."""
        board, run_id = quarantined.board, quarantined.run_id
        if board in self._counts and self._run_ids[board] != run_id:
            self.tell_total(board)
        self._run_ids[board] = run_id
        kind = quarantined.reason.partition(":")[0]
        counts = self._counts.setdefault(board, Counter())
        counts[kind] += 1
        if counts[kind] == 1:
            log.warning(
                "%s: quarantined %d bytes: %s; more of this kind are only counted, up to the run's end",
                board,
                len(quarantined.data),
                quarantined.reason,
                extra={"board": board, "run_id": run_id},
            )

    def tell_total(self, board: str) -> None:
        """A run of the board is over: say how many there were of what was not said each time."""
        counts, run_id = self._counts.pop(board, Counter()), self._run_ids.pop(board, None)
        repeated = [f"{count:,} times {kind}" for kind, count in counts.items() if count > 1]
        if repeated:
            log.warning(
                "%s: quarantined in all: %s",
                board,
                ", ".join(repeated),
                extra={"board": board, "run_id": run_id},
            )

    def tell_totals(self) -> None:
        """Of every board."""
        for board in list(self._counts):
            self.tell_total(board)
