"""The files beside a CSV file of events that make it self-contained: one for each further table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from taskgen.errors import StoreError
from taskgen.event_columns import one_line
from taskgen.events.base import Batch
from taskgen.events.csv_file import LINE_END, CsvFile, lines, translated
from taskgen.events.csv_records import CsvRecords
from taskgen.events.tables import (
    COLUMNS_OF,
    binary_from,
    binary_rows,
    campaign_from,
    campaign_rows,
    end_values,
    ended_runs,
    result_from,
    result_values,
    run_from,
    task_of_run,
    task_values,
    variant_from,
    variant_values,
)

_KEYS: Final = {"campaigns": 1, "variants": 1, "tasks": 2, "binaries": 2, "runs": 1, "results": 2}
"""How many of the first columns name a row. A run is written when it has ended."""

_NEVER_NULL: Final = {"campaigns": 10, "variants": 5, "tasks": 2, "binaries": 3, "runs": 6, "results": 3}
"""How many of the first columns have a value in every row; in the others, what is empty is NULL."""
_MEANINGS: Final[Mapping[str, Callable[[tuple[Any, ...]], object]]] = {
    "campaigns": campaign_from,
    "variants": variant_from,
    "tasks": task_of_run,
    "binaries": binary_from,
    "runs": run_from,
    "results": result_from,
}

_TEXTS_OF_TASKS: Final = frozenset({"run_id", "pkg", "quota", "config"})


class CsvSidecars:
    """Writes `events.runs.csv` and the others beside `events.csv`; each row once."""

    def __init__(self, path: Path) -> None:
        """Read which rows there are; a file is opened when it gets its first new one.

        Raises:
            StoreError: a file is another one, or has a row that means nothing.
        """
        self._path = path
        self._files: dict[str, CsvFile] = {}
        self._known = {
            table: {row[: _KEYS[table]] for row in read_sidecar(path, table)} for table in COLUMNS_OF
        }

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
        known = self._known[table]
        new = {row[: _KEYS[table]]: row for row in rows if row[: _KEYS[table]] not in known}
        if new:
            self._files[table].append(lines(list(new.values())))
            known.update(new)


def sidecar_path(path: Path, table: str) -> Path:
    """The file of a table: `events.runs.csv` for `events.csv`."""
    return path.with_name(f"{path.name.removesuffix('.csv')}.{table}.csv")


def read_sidecar(path: Path, table: str) -> Iterator[tuple[str | None, ...]]:
    """The rows of a table beside a file of events, without an incomplete last one: see `torn_row`.

    Raises:
        StoreError: the file is another one, cannot be read, or has a row that means nothing.
    """
    beside = sidecar_path(path, table)
    if _has_rows(beside, table):
        yield from CsvRecords(beside, COLUMNS_OF[table]).read(lambda _, values: _checked(table, values))


def check_sidecars(path: Path) -> None:
    """Read all rows beside a file of events.

    Raises:
        StoreError: as `read_sidecar` does.
    """
    for table in COLUMNS_OF:
        for _ in read_sidecar(path, table):
            pass


def read_tasks(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run ids, each with the parameters of one of its tasks; of old runs there are none.

    Raises:
        StoreError: as `read_sidecar` does.
    """
    for row in read_sidecar(path, "tasks"):
        named = zip(COLUMNS_OF["tasks"], row, strict=True)
        yield task_of_run(tuple(_as_in_sql(name, value) for name, value in named))


def _as_in_sql(name: str, value: str | None) -> str | int | None:
    is_number = value is not None and name not in _TEXTS_OF_TASKS and value.removeprefix("-").isdecimal()
    return int(value) if value is not None and is_number else value


def torn_row(path: Path, table: str) -> str:
    """Where the last row is incomplete, its first value or the beginning of that; otherwise empty.

    It is what a killed writer has left, and its run is therefore incomplete.
    """
    beside = sidecar_path(path, table)
    if not _has_rows(beside, table):
        return ""
    with translated(beside, StoreError):
        torn = beside.read_bytes().rpartition(LINE_END)[2]
    return torn.partition(b",")[0].decode(errors="replace")


def _has_rows(beside: Path, table: str) -> bool:
    """Whether a file is there, and its maker was not killed before it had its header."""
    header = lines([COLUMNS_OF[table]])
    with translated(beside, StoreError):
        if not beside.exists():
            return False
        with beside.open("rb") as file:
            found = file.read(len(header))
    return found == header or not header.startswith(found)


def _checked(table: str, values: list[str]) -> tuple[str | None, ...]:
    never_null = _NEVER_NULL[table]
    row = (*values[:never_null], *(value or None for value in values[never_null:]))
    _MEANINGS[table](row)  # raises now, where the line is known
    return row


def written(value: object) -> str:
    """A value as written in such a file."""
    return "" if value is None else one_line(str(value))
