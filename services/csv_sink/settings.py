"""The settings of this service, beside those of all services."""

from __future__ import annotations

from pathlib import Path

from taskgen.consumer.settings import ConsumerSettings


class CsvSinkSettings(ConsumerSettings):
    """Where the events go."""

    csv_dir: Path = Path("events")
    """The folder of the parts and their ledger, made if only it is missing. Replicas share it."""
