"""Messages about runs: their start, their events, their end, and what was no event."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from taskgen.boards.profile import are_valid_events
from taskgen.event import Quarantined
from taskgen.messages.taskset import BaseMessage, Count, Name, Reason, TaskSetMessage
from taskgen.run import Outcome, Run, new_id


class RunHead(BaseModel):
    """Which run a message is of; enough to store the message alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: Name
    taskset_id: Name
    campaign_id: str = ""
    board: Name
    attempt: Count
    variant: Count
    started_at: str
    distributor: Name
    """Instance that runs it."""

    def run(self) -> Run:
        """The run as handlers know it."""
        return Run(
            self.board,
            run_id=self.run_id,
            taskset_id=self.taskset_id,
            attempt=self.attempt,
            variant=self.variant,
            started_at=self.started_at,
        )


class StartedMessage(BaseMessage):
    """A run begins. Key `started.<board>`."""

    kind: Literal["taskgen.run.started"] = Field(default="taskgen.run.started", alias="schema")
    run: RunHead
    taskset: TaskSetMessage

    @model_validator(mode="after")
    def _is_of_one_taskset(self) -> Self:
        if self.run.taskset_id != self.taskset.taskset_id:
            raise ValueError("run and task-set disagree about taskset_id")
        return self

    @property
    def message_id(self) -> str:
        """One a run."""
        return self.id_of(self.run.run_id)

    @staticmethod
    def id_of(run_id: str) -> str:
        """Message id of a run's start."""
        return f"{run_id}:started"


class ProfileOfRun(BaseModel):
    """One profile, as handlers get it, and the place of its events within the run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    first_seq: Count
    received_at: str
    profile: dict[str, Any]
    """The dictionary of xmltodict; `event` is always a list."""

    @field_validator("profile")
    @classmethod
    def _has_events(cls, profile: dict[str, Any]) -> dict[str, Any]:
        if not are_valid_events(profile):
            raise ValueError("not a profile with a list of valid events")
        return profile

    @property
    def events(self) -> list[dict[str, Any]]:
        """The profile's events."""
        events: list[dict[str, Any]] = self.profile["profile"]["events"]["event"]
        return events

    @property
    def next_seq(self) -> int:
        """Number of the event that comes after this profile."""
        return self.first_seq + len(self.events)

    def split(self, count: int) -> tuple[ProfileOfRun, ProfileOfRun]:
        """The first events, with what else the board sent beside them, and the rest."""
        content = self.profile["profile"]
        events = {**content["events"], "event": self.events[:count]}
        first = {**self.profile, "profile": {**content, "events": events}}
        rest = {"profile": {"events": {"event": self.events[count:]}}}
        return (
            self.model_copy(update={"profile": first}),
            self.model_copy(update={"profile": rest, "first_seq": self.first_seq + count}),
        )


class EventsMessage(BaseMessage):
    """Events of one or more profiles of one run, in order. Key `events.<board>`."""

    kind: Literal["taskgen.run.events"] = Field(default="taskgen.run.events", alias="schema")
    run: RunHead
    profiles: Annotated[list[ProfileOfRun], Field(min_length=1)]

    @property
    def message_id(self) -> str:
        """Of this part of the run; an empty profile has the place of the one after it."""
        return f"{self.run.run_id}:{self.first_seq}-{self.next_seq}"

    @property
    def first_seq(self) -> int:
        """Number of the first event."""
        return self.profiles[0].first_seq

    @property
    def next_seq(self) -> int:
        """Number of the event that comes after this message."""
        return self.profiles[-1].next_seq

    def halves(self) -> tuple[EventsMessage, ...]:
        """Two messages that say the same as this one; none where it has a single event."""
        if len(self.profiles) > 1:
            middle = len(self.profiles) // 2
            parts = self.profiles[:middle], self.profiles[middle:]
        elif len(self.profiles[0].events) > 1:
            first, rest = self.profiles[0].split(len(self.profiles[0].events) // 2)
            parts = [first], [rest]
        else:
            return ()
        return tuple(self.model_copy(update={"profiles": part}) for part in parts)


class EndedMessage(BaseMessage):
    """A run has ended; its last message. Key `finished.<board>` or `stopped.<board>`."""

    kind: Literal["taskgen.run.ended"] = Field(default="taskgen.run.ended", alias="schema")
    run: RunHead
    ended_at: str
    outcome: Outcome
    reason: Reason = ""
    events: Count
    """How many events the run has in all."""

    @property
    def message_id(self) -> str:
        """One a run."""
        return f"{self.run.run_id}:ended"

    def full_run(self) -> Run:
        """The run with its outcome."""
        run = self.run.run()
        run.ended_at, run.outcome, run.reason, run.events = (
            self.ended_at,
            self.outcome,
            self.reason,
            self.events,
        )
        return run


class QuarantinedMessage(BaseMessage):
    """Bytes from a board that are no events. Key `quarantined.<board>`."""

    kind: Literal["taskgen.quarantined"] = Field(default="taskgen.quarantined", alias="schema")
    quarantine_id: str = Field(default_factory=new_id)
    run: RunHead | None = None
    """None where no run was on."""
    board: str
    reason: Reason
    received_at: str
    data_base64: str

    @property
    def message_id(self) -> str:
        """One for each piece."""
        return self.quarantine_id

    def quarantined(self) -> Quarantined:
        """What handlers are given."""
        run_id = self.run.run_id if self.run else None
        data = base64.b64decode(self.data_base64)
        return Quarantined(self.reason, data, self.board, self.received_at, run_id)

    @field_validator("data_base64")
    @classmethod
    def _is_base64(cls, text: str) -> str:
        base64.b64decode(text)
        return text
