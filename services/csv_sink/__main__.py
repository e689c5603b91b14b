"""`python -m services.csv_sink`: events from the queue into CSV files, one for each replica."""

from __future__ import annotations

from functools import partial

from services.csv_sink.settings import CsvSinkSettings
from taskgen.consumer.sink import sink
from taskgen.events.csv_parts import CsvPartsHandler
from taskgen.runtime.health import Health
from taskgen.runtime.runner import run_service
from taskgen.runtime.settings import naming


async def serve(settings: CsvSinkSettings, health: Health) -> None:
    """Store until cancelled."""
    await sink(settings, "csv", partial(_opened, settings), health)


def _opened(settings: CsvSinkSettings) -> CsvPartsHandler:
    with naming("csv_dir"):
        return CsvPartsHandler(settings.csv_dir, settings.instance)


if __name__ == "__main__":
    run_service("csv_sink", CsvSinkSettings, serve)
