"""The base of all messages, and messages about task-sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from taskgen.errors import TaskSetError
from taskgen.retry_policy import Attempt, RetryPolicy
from taskgen.run import CampaignFacts, new_id, now
from taskgen.task import Task
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief
from taskgen.variants import has_choices

_NAME_BYTES: Final = 200

Tasks = list[dict[str, Any]]
"""The tasks' parameters, without open choices."""


Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""At most the largest integer that is exact in every JSON implementation (RFC 8259, section 6)."""


Reason = Annotated[str, AfterValidator(brief)]
"""Limited in length: it may quote a board, or come from any publisher."""


def _short(name: str) -> str:
    if len(name.encode()) > _NAME_BYTES:
        raise ValueError(f"has more than {_NAME_BYTES} bytes")
    return name


Name = Annotated[str, Field(max_length=_NAME_BYTES), AfterValidator(_short)]
"""Part of keys, queue names and message ids, which AMQP limits to 255 bytes."""


class BaseMessage(BaseModel, ABC):
    """Base of all messages: has schema name and version; unknown fields of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)

    version: Literal[1] = 1

    @property
    @abstractmethod
    def message_id(self) -> str:
        """The same whenever the message is published again."""

    def body(self) -> bytes:
        """The body for publishing."""
        return self.model_dump_json().encode()


class TaskSetMessage(BaseMessage):
    """A variant of a task-set that waits for a board. Queue `taskgen.tasksets`."""

    kind: Literal["taskgen.taskset"] = Field(default="taskgen.taskset", alias="schema")
    taskset_id: Name = Field(default_factory=new_id)
    campaign_id: str = ""
    """The same for everything that one `taskgen submit` published."""
    campaign: CampaignFacts | None = None
    """The stored facts about the campaign; None if it was submitted by version 0.1."""
    source: str = "task-set"
    variant: Count = 0
    parameters: dict[str, Any] = {}
    """Those that vary, and their values, such as `{"task1.priority": 5}`."""
    attempt: Annotated[Count, Field(ge=1)] = 1
    max_attempts: Annotated[Count, Field(ge=1)] = RetryPolicy().max_attempts
    tasks: Tasks
    session_params: list[dict[str, Any]] = Field(default_factory=list)
    tried: list[str] = Field(default_factory=list)
    """Boards of earlier attempts."""
    reasons: list[Reason] = Field(default_factory=list)
    """Why each earlier attempt had no result."""
    submitted_at: str = Field(default_factory=now)

    @property
    def message_id(self) -> str:
        """Unique for each attempt."""
        return f"{self.taskset_id}:{self.attempt}"

    def taskset(self) -> TaskSet:
        """The task-set, validated.

        Raises:
            TaskSetError: it is invalid.
        """
        if any(map(has_choices, self.tasks)):
            raise TaskSetError(f"{self.source}: has an open choice; a message holds a single variant")
        taskset = rebuilt(self.tasks, self.source)
        taskset.parameters = self.parameters
        return taskset.checked()

    @property
    def history(self) -> Attempt:
        """The attempt, with the earlier ones."""
        return Attempt(self.attempt, tuple(self.tried), tuple(self.reasons))

    def retried(self, attempt: Attempt) -> TaskSetMessage:
        """The same task-set for another attempt."""
        return self.model_copy(
            update={
                "attempt": attempt.number,
                "tried": list(attempt.tried),
                "reasons": list(attempt.reasons),
            }
        )


class RefusedMessage(BaseMessage):
    """A task-set that is invalid, or was cancelled by a user. Key `refused.<taskset_id>`."""

    kind: Literal["taskgen.taskset.refused"] = Field(default="taskgen.taskset.refused", alias="schema")
    taskset: TaskSetMessage
    reason: Reason
    is_called_off: bool = False
    """Whether a user cancelled it."""

    @property
    def message_id(self) -> str:
        """Unique for each task-set."""
        return f"{self.taskset.taskset_id}:refused"

    @property
    def routing_key(self) -> str:
        """Of the exchange of events."""
        return f"refused.{self.taskset.taskset_id}"


def rebuilt(tasks: Tasks, source: str) -> TaskSet:
    """Make a task-set of the parameters in a message."""
    taskset = TaskSet(Task(parameters) for parameters in tasks)
    taskset.source = source
    return taskset
