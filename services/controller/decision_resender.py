"""Which decisions to send again: one may have reached a board while its owner was away."""

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
    """Keeps track of when decisions on live runs were sent; times are `time.monotonic`, in seconds.

    Args:
        after_s: how long a run may continue after a decision before the decision is sent again.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._sent: dict[str, float] = {}

    def due(self, live: Iterable[LiveRun], running: Container[str], at: float) -> list[DueDecision]:
        """The decisions to send now; they count as sent.

        Args:
            live: all live runs; any other run is forgotten.
            running: ids of the runs that distributors report to be running.
            at: now.
        """
        decided = [
            DueDecision(run.board, run.decision) for run in live if run.decision and run.run_id in running
        ]
        sent = {one.decision.run_id: self._sent.get(one.decision.run_id, at) for one in decided}
        found = [one for one in decided if at - sent[one.decision.run_id] >= self._after_s]
        self._sent = sent | {one.decision.run_id: at for one in found}
        return found
