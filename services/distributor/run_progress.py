"""The part of a run in the outbox: its first events without a gap, and an end with their number."""

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
    """JSON of `head`, part of every change of the run."""
    profiles: list[ProfileOfRun] = field(default_factory=list)
    """Profiles that are not in a message yet."""
    given: int = 0
    """How many events the board has reported."""
    kept: int = 0
    """How many of them are, or are about to be, in the outbox: the first ones, without a gap."""
    written: int | None = None
    """How many are in the outbox; None if even the start of the run is not."""
    cut_because: str = ""
    """Why only the end of the run is written from now on; empty if everything is."""
    is_unknown: bool = False
    """Whether its start could not be written: nothing is published, and its task-set stays queued."""
    end: EndedMessage | None = None
    """How it ended, before `shortened`; None while it is running."""

    def __post_init__(self) -> None:
        self.head_json = self.head.model_dump_json()

    def cut(self, reason: str) -> None:
        """Write no more events of the run; the first reason counts."""
        if not self.cut_because:
            self.cut_because = reason
            extra = {"run_id": self.head.run_id, "board": self.head.board}
            log.error(
                "run %s: its remaining events are not written: %s", self.head.run_id, reason, extra=extra
            )

    def give_up(self, reason: str) -> None:
        """Drop what is not in the outbox."""
        self.profiles.clear()
        if self.written != self.kept:
            self.cut(reason)
            self.is_unknown = self.written is None
            self.kept = self.written or 0

    def shortened(self, end: EndedMessage) -> EndedMessage:
        """The end as it is published: events that could not be written do not count."""
        if not self.cut_because:
            return end
        ended = end.reason or f"it ended as {end.outcome}"
        missing = f"the last {self.given - self.kept} of its {self.given} events could not be written"
        reason = f"{ended}; {missing}: {self.cut_because}"
        return end.model_copy(
            update={"outcome": Outcome.DISTRIBUTOR_LOST, "reason": reason, "events": self.kept}
        )
