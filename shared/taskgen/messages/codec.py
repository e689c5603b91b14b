"""Reads the messages between services: JSON of these models, whose schemas are in docs/messages/."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from taskgen.errors import MessageError
from taskgen.messages.run import (
    EndedMessage,
    EventsMessage,
    EventsMessageV1,
    QuarantinedMessage,
    ResultsMessage,
    RunHead,
    StartedMessage,
)
from taskgen.messages.status import (
    BoardReport,
    CampaignReport,
    ControllerStatusMessage,
    DecisionMessage,
    RebootMessage,
    StatusMessage,
)
from taskgen.messages.taskset import RefusedMessage, Tasks, TaskSetMessage, rebuilt
from taskgen.untrusted_text import brief

__all__ = [
    "BoardReport",
    "CampaignReport",
    "ControllerStatusMessage",
    "DecisionMessage",
    "EndedMessage",
    "EventsMessage",
    "Message",
    "QuarantinedMessage",
    "RebootMessage",
    "RefusedMessage",
    "ResultsMessage",
    "RunHead",
    "StartedMessage",
    "StatusMessage",
    "TaskSetMessage",
    "Tasks",
    "read_message",
    "rebuilt",
]

_Others = (
    TaskSetMessage
    | StartedMessage
    | EndedMessage
    | QuarantinedMessage
    | ResultsMessage
    | RefusedMessage
    | StatusMessage
    | ControllerStatusMessage
    | DecisionMessage
    | RebootMessage
)
Message = _Others | EventsMessage
_Events = Annotated[EventsMessage | EventsMessageV1, Field(discriminator="version")]
_ANY: TypeAdapter[Message | EventsMessageV1] = TypeAdapter(
    Annotated[_Others | _Events, Field(discriminator="kind")]
)
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def read_message(body: bytes) -> Message:
    """Parse and validate a message.

    Raises:
        MessageError: it is not JSON, has an unknown schema or version, is invalid, or cannot be stored.
    """
    if rb"\u0000" in body and _NUL.search(body):
        raise MessageError("has a NUL in a text, which databases cannot store")
    try:
        message = _ANY.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MessageError(brief(f"{where}: {first['msg']}" if where else first["msg"])) from error
    return message.newer() if isinstance(message, EventsMessageV1) else message
