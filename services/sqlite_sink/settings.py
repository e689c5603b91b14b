"""The settings of this service, beside those of all services."""

from __future__ import annotations

from pathlib import Path

from taskgen.runtime.settings import ServiceSettings


class SqliteSinkSettings(ServiceSettings):
    """Where the events go."""

    sqlite_path: Path = Path("events.db")
    """The database; its folder has to exist. Replicas on one machine share it."""
