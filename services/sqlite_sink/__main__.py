"""`python -m services.sqlite_sink`: events from the queue into a SQLite database."""

from __future__ import annotations

from functools import partial

from services.sqlite_sink.settings import SqliteSinkSettings
from taskgen.consumer.sink import sink
from taskgen.events.sql import SqliteHandler
from taskgen.runtime.health import Health
from taskgen.runtime.runner import run_service
from taskgen.runtime.settings import naming


async def serve(settings: SqliteSinkSettings, health: Health) -> None:
    """Store until cancelled."""
    await sink(settings, "sqlite", partial(_opened, settings), health)


def _opened(settings: SqliteSinkSettings) -> SqliteHandler:
    with naming("sqlite_path"):
        return SqliteHandler(settings.sqlite_path)


if __name__ == "__main__":
    run_service("sqlite_sink", SqliteSinkSettings, serve)
