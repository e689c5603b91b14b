"""The settings of this service, beside those of all services."""

from __future__ import annotations

from typing import Annotated

from taskgen.consumer.settings import ConsumerSettings
from taskgen.events.postgres_server import PostgresServer
from taskgen.runtime.settings import checked


class PostgresSinkSettings(ConsumerSettings):
    """Where the events go."""

    postgres_dsn: Annotated[str, checked(PostgresServer)]
    """`postgresql://user:password@host/database`, or any other form that libpq takes."""
