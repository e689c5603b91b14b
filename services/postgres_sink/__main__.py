"""`python -m services.postgres_sink`: events from the queue into a PostgreSQL database."""

from __future__ import annotations

from functools import partial

from services.postgres_sink.settings import PostgresSinkSettings
from taskgen.consumer.sink import sink
from taskgen.events.postgres import PostgresHandler
from taskgen.runtime.health import Health
from taskgen.runtime.runner import run_service


async def serve(settings: PostgresSinkSettings, health: Health) -> None:
    """Store until cancelled."""
    await sink(settings, "postgres", partial(PostgresHandler, settings.postgres_dsn), health)


if __name__ == "__main__":
    run_service("postgres_sink", PostgresSinkSettings, serve)
