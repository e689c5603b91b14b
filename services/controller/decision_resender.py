"""Which decisions are to be sent again: one may have come to a board while its owner was away."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from services.controller.controller import LiveRun
from taskgen.messages.codec import DecisionMessage


class DueDecision(NamedTuple):
    """A decision, and the board that it is for."""

    board: str
    decision: DecisionMessage


class DecisionResender:
    """Knows when the decisions on live runs were sent; times are `time.monotonic`, in seconds.

    Args:
        after_s: so long a run may go on after a decision before it is told again.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._sent: dict[str, float] = {}

    def due(self, live: Iterable[LiveRun], running: Container[str], at: float) -> list[DueDecision]:
        """What is to be told now; it counts as told.

        Args:
            live: all runs that are on as far as is known; what is not among them is forgotten.
            running: ids of the runs that distributors say to be on.
            at: now.
        """
        decided = [
            DueDecision(run.board, run.decision) for run in live if run.decision and run.run_id in running
        ]
        sent = {one.decision.run_id: self._sent.get(one.decision.run_id, at) for one in decided}
        found = [one for one in decided if at - sent[one.decision.run_id] >= self._after_s]
        self._sent = sent | {one.decision.run_id: at for one in found}
        return found
