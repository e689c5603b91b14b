"""The files beside a CSV file of events that make it self-contained: one for each further table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from taskgen.errors import StoreError
from taskgen.event_columns import one_line
from taskgen.events.base import Batch
from taskgen.events.csv_file import CsvFile, lines, translated
from taskgen.events.tables import (
    COLUMNS_OF,
    binary_rows,
    campaign_rows,
    end_values,
    ended_runs,
    result_values,
    task_values,
    variant_values,
)

_KEYS: Final = {"campaigns": 1, "variants": 1, "tasks": 2, "binaries": 2, "runs": 1, "results": 2}
"""How many of the first columns name a row. A run is written when it has ended."""


class CsvSidecars:
    """Writes `events.runs.csv` and the others beside `events.csv`; each row once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, CsvFile] = {}
        self._known: dict[str, set[tuple[str, ...]]] = {}

    def write(self, batch: Batch) -> None:
        """Append what a batch has besides events.

        Raises:
            StoreError: a file cannot be written; giving the batch again does no harm.
        """
        runs = [run for run, _ in batch.started]
        tables: dict[str, Iterable[tuple[Any, ...]]] = {
            "campaigns": campaign_rows(batch),
            "variants": map(variant_values, runs),
            "tasks": (task_values(run, task) for run, tasks in batch.started for task in tasks),
            "binaries": binary_rows(batch),
            "runs": map(end_values, ended_runs(batch)),
            "results": (row for one in batch.results.items() for row in result_values(*one)),
        }
        for table, rows in tables.items():
            self._append(table, [tuple(map(written, row)) for row in rows])

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _append(self, table: str, rows: list[tuple[str, ...]]) -> None:
        if not rows:
            return
        if table not in self._files:
            self._files[table] = CsvFile(sidecar_path(self._path, table), COLUMNS_OF[table])
            self._known[table] = {row[: _KEYS[table]] for row in read_sidecar(self._path, table)}
        known = self._known[table]
        new = {row[: _KEYS[table]]: row for row in rows if row[: _KEYS[table]] not in known}
        if new:
            self._files[table].append(lines(list(new.values())))
            known.update(new)


def sidecar_path(path: Path, table: str) -> Path:
    """The file of a table: `events.runs.csv` for `events.csv`."""
    return path.with_name(f"{path.name.removesuffix('.csv')}.{table}.csv")


def read_sidecar(path: Path, table: str) -> Iterator[tuple[str, ...]]:
    """The rows of a table beside a file of events; empty values are ''.

    Raises:
        StoreError: the file is another one, or cannot be read.
    """
    beside = sidecar_path(path, table)
    with translated(beside, StoreError):
        if not beside.exists():
            return
        with beside.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            try:
                if tuple(next(rows, ())) != COLUMNS_OF[table]:
                    raise StoreError(f"{beside}: has a different header")
                yield from (tuple(row) for row in rows if len(row) == len(COLUMNS_OF[table]))
            except (csv.Error, UnicodeDecodeError) as error:
                raise StoreError(f"{beside}: damaged, or changed by another program: {error}") from error


def written(value: object) -> str:
    """A value as written in such a file."""
    return "" if value is None else one_line(str(value))
