"""The CSV store, under the name that scripts use: see `taskgen.events.csv`."""

from taskgen.events.csv import COLUMNS, CsvHandler, read_events, read_quarantined, read_runs

__all__ = ["COLUMNS", "CsvHandler", "read_events", "read_quarantined", "read_runs"]
