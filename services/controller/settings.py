"""Settings of the controller, read from environment variables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from taskgen.consumer.settings import ConsumerSettings
from taskgen.retry_policy import RetryOn
from taskgen.runtime.settings import checked
from taskgen.state.opening import open_state


class ControllerSettings(ConsumerSettings):
    """Variables `TASKGEN_...`; see `.env.example`."""

    state_url: Annotated[str, checked(open_state)] = "sqlite:controller.db"
    """`sqlite:PATH` or `postgresql://user:password@host/database`; the same for all standbys."""
    handler: str = "taskgen.event:DefaultEventHandler"
    """`module:Class` of the handler that decides."""
    retry_on: Annotated[str, checked(RetryOn.read)] = ""
    """Names of `RetryOn`, separated by commas: a run that ends so becomes a `board_error`, not a result."""
    lost_after_s: float = Field(default=60.0, ge=5)
    """Give up on the runs of a distributor that was silent for this long; it reports every 2 s."""
