"""Messages that are never stored: the status of services and boards, and commands to a board."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from taskgen.execution.board import BoardState
from taskgen.messages.taskset import BaseMessage, Reason
from taskgen.run import Outcome, new_id, now


class BoardReport(BaseModel):
    """What a board is doing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    state: BoardState
    since: str
    reason: Reason = ""
    run_id: str = ""
    taskset_id: str = ""
    campaign_id: str = ""


class StatusMessage(BaseMessage):
    """A distributor's report on its boards, every 2 s; never stored. Key `status.<distributor>`."""

    kind: Literal["taskgen.status"] = Field(default="taskgen.status", alias="schema")
    distributor: str
    at: str = Field(default_factory=now)
    boards: list[BoardReport]
    outbox: int = 0
    """Messages that wait for the broker."""

    @property
    def message_id(self) -> str:
        """Of this moment."""
        return f"{self.distributor}:{self.at}"

    @property
    def routing_key(self) -> str:
        """Of the exchange of events."""
        return f"status.{self.distributor}"


class CampaignReport(BaseModel):
    """The progress of a campaign."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    campaign_id: str
    running: int = 0
    waiting: int = 0
    """Requeued after a lost run."""
    outcomes: dict[Outcome, int] = {}
    """Of the runs that are results."""
    bad: int = 0
    called_off: int = 0

    @property
    def done(self) -> int:
        """Number of task-sets that need no further attempt."""
        return sum(self.outcomes.values()) + self.bad + self.called_off


class ControllerStatusMessage(BaseMessage):
    """The controller's report on the runs, every 2 s; never stored. Key `status.controller`."""

    kind: Literal["taskgen.controller.status"] = Field(default="taskgen.controller.status", alias="schema")
    controller: str
    at: str = Field(default_factory=now)
    runs: dict[str, int]
    """Number of runs by outcome; `running` are those without one."""
    bad: int
    campaigns: list[CampaignReport]
    """Those with a task-set that runs or waits, and those that changed last; in the order of submission."""

    @property
    def message_id(self) -> str:
        """Of this moment."""
        return f"{self.controller}:{self.at}"

    @property
    def routing_key(self) -> str:
        """Of the exchange of events."""
        return "status.controller"


class DecisionMessage(BaseMessage):
    """Tells a distributor to end a run. Exchange `taskgen.commands`, key = board."""

    kind: Literal["taskgen.decision"] = Field(default="taskgen.decision", alias="schema")
    run_id: str
    outcome: Outcome
    reason: Reason = ""

    @property
    def message_id(self) -> str:
        """Of this decision."""
        return f"{self.run_id}:decision"


class RebootMessage(BaseMessage):
    """Tells a distributor to reboot a board. Exchange `taskgen.commands`, key = board."""

    kind: Literal["taskgen.reboot"] = Field(default="taskgen.reboot", alias="schema")
    board: str
    command_id: str = Field(default_factory=new_id)

    @property
    def message_id(self) -> str:
        """Of this command."""
        return self.command_id
