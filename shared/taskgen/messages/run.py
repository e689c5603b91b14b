"""Messages about runs: their start, events, end, and bytes that are not events."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from taskgen.boards.profile import are_valid_events
from taskgen.event import Quarantined
from taskgen.event_columns import EventColumns, ProfileOfRun
from taskgen.messages.taskset import BaseMessage, Count, Name, Reason, TaskSetMessage
from taskgen.run import Outcome, Run, new_id
from taskgen.taskset import Profile

OF_RUNS: Final = ("started", "events", "finished", "stopped")
"""First words of the routing keys of a run's messages: a queue gets all of them, in order, or none."""


class RunHead(BaseModel):
    """The run that a message belongs to; enough to store the message alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: Name
    taskset_id: Name
    campaign_id: str = ""
    board: Name
    attempt: Count
    variant: Count
    started_at: str
    distributor: Name
    """Instance that executes the run."""

    def run(self) -> Run:
        """The run as handlers see it."""
        return Run(
            self.board,
            run_id=self.run_id,
            taskset_id=self.taskset_id,
            attempt=self.attempt,
            variant=self.variant,
            started_at=self.started_at,
        )


class StartedMessage(BaseMessage):
    """A run has started. Key `started.<board>`."""

    kind: Literal["taskgen.run.started"] = Field(default="taskgen.run.started", alias="schema")
    run: RunHead
    taskset: TaskSetMessage
    binaries: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the binaries that the distributor has for it, by name."""

    def full_run(self) -> Run:
        """The run with where it comes from."""
        run = self.run.run()
        run.source, run.parameters = self.taskset.source, self.taskset.parameters
        run.campaign, run.binaries = self.taskset.campaign, self.binaries
        return run

    @model_validator(mode="after")
    def _is_of_one_taskset(self) -> Self:
        if self.run.taskset_id != self.taskset.taskset_id:
            raise ValueError("run and task-set have different taskset_ids")
        return self

    @property
    def message_id(self) -> str:
        """The same for each publication of a run's message."""
        return self.id_of(self.run.run_id)

    @property
    def routing_key(self) -> str:
        """For the exchange of events."""
        return f"started.{self.run.board}"

    @staticmethod
    def id_of(run_id: str) -> str:
        """Message id of a run's start."""
        return f"{run_id}:started"


class EventsMessage(BaseMessage):
    """Consecutive events of one run. Key `events.<board>`."""

    kind: Literal["taskgen.run.events"] = Field(default="taskgen.run.events", alias="schema")
    version: Literal[2] = 2  # type: ignore[assignment]  # the others are still of version 1
    run: RunHead
    events: Annotated[EventColumns, AfterValidator(EventColumns.checked)]

    @classmethod
    def of(cls, run: RunHead, profiles: Iterable[ProfileOfRun]) -> EventsMessage:
        """A message of valid profiles that leave no gap."""
        return cls.model_construct(run=run, events=EventColumns.of(profiles))

    @property
    def message_id(self) -> str:
        """Derived from the run and the range of events."""
        return f"{self.run.run_id}:{self.first_seq}-{self.next_seq}"

    @property
    def routing_key(self) -> str:
        """For the exchange of events."""
        return f"events.{self.run.board}"

    @property
    def first_seq(self) -> int:
        """Number of the first event."""
        return self.events.first_seq

    @property
    def next_seq(self) -> int:
        """Number of the event that comes after this message."""
        return self.events.next_seq

    @property
    def profiles(self) -> list[ProfileOfRun]:
        """The profiles that the events came in, as handlers are given them."""
        return list(self.events.profiles())

    def halves(self) -> tuple[EventsMessage, ...]:
        """Two messages with the same events; empty if there is only one event."""
        count, middle = len(self.events), len(self.events) // 2
        if not middle:
            return ()
        return tuple(
            self.model_copy(update={"events": self.events.part(start, stop)})
            for start, stop in ((0, middle), (middle, count))
        )


class _ProfileV1(BaseModel):
    first_seq: Count
    received_at: str
    profile: Profile

    @field_validator("profile")
    @classmethod
    def _has_events(cls, profile: Profile) -> Profile:
        if not are_valid_events(profile):
            raise ValueError("not a profile with a list of valid events")
        return profile


class EventsMessageV1(BaseMessage):
    """The predecessor of `EventsMessage`, which a queue may hold during an upgrade."""

    kind: Literal["taskgen.run.events"] = Field(default="taskgen.run.events", alias="schema")
    run: RunHead
    profiles: Annotated[list[_ProfileV1], Field(min_length=1)]

    @property
    def message_id(self) -> str:
        """That of the newer version."""
        return self.newer().message_id

    def newer(self) -> EventsMessage:
        """The same events in the current version."""
        profiles = [ProfileOfRun(one.first_seq, one.received_at, one.profile) for one in self.profiles]
        return EventsMessage.of(self.run, profiles)

    @model_validator(mode="after")
    def _is_without_gap(self) -> Self:
        profiles = [ProfileOfRun(one.first_seq, one.received_at, one.profile) for one in self.profiles]
        if any(after.first_seq != before.next_seq for before, after in pairwise(profiles)):
            raise ValueError("its profiles leave a gap, or overlap")
        return self


class EndedMessage(BaseMessage):
    """A run has ended; its last message. Key `finished.<board>` or `stopped.<board>`."""

    kind: Literal["taskgen.run.ended"] = Field(default="taskgen.run.ended", alias="schema")
    run: RunHead
    ended_at: str
    outcome: Outcome
    reason: Reason = ""
    events: Count
    """Total number of events of the run."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Those of the variant that vary; for people who see only the end."""

    @property
    def message_id(self) -> str:
        """The same for each publication of a run's message."""
        return f"{self.run.run_id}:ended"

    @property
    def routing_key(self) -> str:
        """For the exchange of events."""
        topic = "finished" if self.outcome is Outcome.FINISHED else "stopped"
        return f"{topic}.{self.run.board}"

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


class ResultsMessage(BaseMessage):
    """What a handler behind a queue recorded about a run that has ended. Key `results.<board>`."""

    kind: Literal["taskgen.run.results"] = Field(default="taskgen.run.results", alias="schema")
    results_id: str = Field(default_factory=new_id)
    run: RunHead
    results: dict[str, Any]

    @property
    def message_id(self) -> str:
        """Unique for each handler's results of a run."""
        return self.results_id

    @property
    def routing_key(self) -> str:
        """For the exchange of events."""
        return f"results.{self.run.board}"


class QuarantinedMessage(BaseMessage):
    """Bytes from a board that are not events. Key `quarantined.<board>`."""

    kind: Literal["taskgen.quarantined"] = Field(default="taskgen.quarantined", alias="schema")
    quarantine_id: str = Field(default_factory=new_id)
    run: RunHead | None = None
    """None if they arrived between runs."""
    board: str
    reason: Reason
    received_at: str
    data_base64: str

    @property
    def message_id(self) -> str:
        """Unique for each piece."""
        return self.quarantine_id

    @property
    def routing_key(self) -> str:
        """For the exchange of events."""
        return f"quarantined.{self.board}"

    def quarantined(self) -> Quarantined:
        """The value that handlers get."""
        run_id = self.run.run_id if self.run else None
        data = base64.b64decode(self.data_base64)
        return Quarantined(self.reason, data, self.board, self.received_at, run_id)

    @field_validator("data_base64")
    @classmethod
    def _is_base64(cls, text: str) -> str:
        base64.b64decode(text)
        return text
