"""The settings of this service, in addition to the common ones."""

from __future__ import annotations

from typing import Annotated

from taskgen.consumer.settings import ConsumerSettings
from taskgen.events.postgres_server import PostgresServer
from taskgen.runtime.settings import checked


class PostgresSinkSettings(ConsumerSettings):
    """Location of the store."""

    postgres_dsn: Annotated[str, checked(PostgresServer)]
    """`postgresql://user:password@host/database`, or any other form that libpq takes."""
