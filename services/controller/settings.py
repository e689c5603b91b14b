"""What the controller can be told by environment variables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from taskgen.consumer.settings import ConsumerSettings
from taskgen.runtime.settings import checked
from taskgen.state.opening import open_state


class ControllerSettings(ConsumerSettings):
    """Variables `TASKGEN_...`; see `.env.example`."""

    state_url: Annotated[str, checked(open_state)] = "sqlite:controller.db"
    """`sqlite:PATH` or `postgresql://user:password@host/database`; a standby needs the same one."""
    handler: str = "taskgen.event:DefaultEventHandler"
    """`module:Class` of the handler that decides."""
    lost_after_s: float = Field(default=60.0, ge=5)
    """A distributor that has been silent for so long has lost its runs; it speaks every 2 s."""
