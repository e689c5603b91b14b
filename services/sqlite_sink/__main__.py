"""`python -m services.sqlite_sink`: events from the queue into a SQLite database."""

from __future__ import annotations

from services.sqlite_sink.settings import SqliteSinkSettings
from taskgen.consumer.sink import run_sink
from taskgen.events.sql import SqliteHandler


def opened(settings: SqliteSinkSettings) -> SqliteHandler:
    """The store."""
    return SqliteHandler(settings.sqlite_path)


if __name__ == "__main__":
    run_sink("sqlite_sink", SqliteSinkSettings, opened, "sqlite_path")
