"""The settings of every service that consumes a queue: how much to take at a time."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from taskgen.runtime.settings import ServiceSettings


class ConsumerSettings(ServiceSettings):
    """Larger batches cost less time for each event, and more memory."""

    batch_messages: Annotated[int, Field(ge=1, le=10_000)] = 128
    """Maximum number of messages in one commit."""
    batch_bytes: Annotated[int, Field(ge=1, le=64 * 1024 * 1024)] = 512 * 1024
    """Size of these messages; a single one may be larger. Parsed, they take several times as much memory."""
    prefetch: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Maximum number of unacknowledged messages. When the process dies, each comes closer to its
    delivery limit."""
