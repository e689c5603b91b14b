"""The settings of this service, in addition to the common ones."""

from __future__ import annotations

from pathlib import Path

from taskgen.consumer.settings import ConsumerSettings


class SqliteSinkSettings(ConsumerSettings):
    """Location of the store."""

    sqlite_path: Path = Path("events.db")
    """The database; its folder has to exist. Replicas on one machine share it."""
