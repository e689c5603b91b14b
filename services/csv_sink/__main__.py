"""`python -m services.csv_sink`: events from the queue into CSV files, one for each replica."""

from __future__ import annotations

from services.csv_sink.settings import CsvSinkSettings
from taskgen.consumer.sink import run_sink
from taskgen.events.csv_parts import CsvPartsHandler


def opened(settings: CsvSinkSettings) -> CsvPartsHandler:
    """The store."""
    return CsvPartsHandler(settings.csv_dir, settings.instance)


if __name__ == "__main__":
    run_sink("csv_sink", CsvSinkSettings, opened, "csv_dir")
