"""`python -m services.postgres_sink`: events from the queue into a PostgreSQL database."""

from __future__ import annotations

from services.postgres_sink.settings import PostgresSinkSettings
from taskgen.consumer.sink import run_sink
from taskgen.events.postgres import PostgresHandler


def opened(settings: PostgresSinkSettings) -> PostgresHandler:
    """The store."""
    return PostgresHandler(settings.postgres_dsn)


if __name__ == "__main__":
    run_sink("postgres_sink", PostgresSinkSettings, opened)
