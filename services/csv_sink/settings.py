"""The settings of this service, in addition to the common ones."""

from __future__ import annotations

from pathlib import Path

from taskgen.consumer.settings import ConsumerSettings


class CsvSinkSettings(ConsumerSettings):
    """Location of the store."""

    csv_dir: Path = Path("events")
    """The folder of the parts and their ledger; created if its parent exists. Replicas share it."""
