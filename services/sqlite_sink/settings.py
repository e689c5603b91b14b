"""The settings of this service, beside those of all services."""

from __future__ import annotations

from pathlib import Path

from taskgen.consumer.settings import ConsumerSettings


class SqliteSinkSettings(ConsumerSettings):
    """Where the events go."""

    sqlite_path: Path = Path("events.db")
    """The database; its folder has to exist. Replicas on one machine share it."""
