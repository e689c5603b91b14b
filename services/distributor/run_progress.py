"""How far a run has come into the outbox: its first events without a gap, and an end that says how many."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from taskgen.event_columns import ProfileOfRun
from taskgen.messages.codec import EndedMessage, RunHead
from taskgen.run import Outcome

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RunProgress:
    """A run whose end is not in the outbox yet."""

    head: RunHead
    head_json: str = field(init=False)
    """JSON of `head`, which every change of the run carries."""
    profiles: list[ProfileOfRun] = field(default_factory=list)
    """Those that are in no message yet."""
    given: int = 0
    """How many events the board has reported."""
    kept: int = 0
    """How many of them are in the outbox, or are to be written there: the first ones, without a gap."""
    written: int | None = None
    """How many are in the outbox; None: not even the run's start is."""
    cut_because: str = ""
    """Why nothing more of the run is written but its end."""
    is_unknown: bool = False
    """Whether its start was given up: nothing of it is told, and its task-set stays in the queue."""
    end: EndedMessage | None = None
    """How it ended, if it has: not yet `shortened`."""

    def __post_init__(self) -> None:
        self.head_json = self.head.model_dump_json()

    def cut(self, reason: str) -> None:
        """Have nothing more of the run written; the first reason counts."""
        if not self.cut_because:
            self.cut_because = reason
            extra = {"run_id": self.head.run_id, "board": self.head.board}
            log.error("run %s: nothing more of it is written: %s", self.head.run_id, reason, extra=extra)

    def give_up(self, reason: str) -> None:
        """What is not in the outbox will not come into it."""
        self.profiles.clear()
        if self.written != self.kept:
            self.cut(reason)
            self.is_unknown = self.written is None
            self.kept = self.written or 0

    def shortened(self, end: EndedMessage) -> EndedMessage:
        """The run's end as it is told: events that could not be written are no part of the run."""
        if not self.cut_because:
            return end
        told = end.reason or f"it ended as {end.outcome}"
        missing = f"the last {self.given - self.kept} of its {self.given} events could not be written"
        reason = f"{told}; {missing}: {self.cut_because}"
        return end.model_copy(
            update={"outcome": Outcome.DISTRIBUTOR_LOST, "reason": reason, "events": self.kept}
        )
