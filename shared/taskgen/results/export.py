"""Writes results for other programs, run by run, so that memory does not grow with their number."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Final

from taskgen.errors import SettingsError
from taskgen.metrics import JobRow
from taskgen.results.dataset import Dataset
from taskgen.results.frames import run_row, task_rows, variant_row
from taskgen.results.trace import write_trace

_ROWS_AT_ONCE: Final = 50_000

Row = Mapping[str, Any]


def export(dataset: Dataset, what: str, path: Path) -> int:
    """Write one kind of rows; returns their number.

    Args:
        dataset: the runs.
        what: one of `KINDS`.
        path: ends with `.csv`, `.parquet` or `.pftrace`; a Perfetto trace has jobs only.

    Raises:
        SettingsError: the file's name ends otherwise, it cannot be written, it cannot have these rows, or
            pyarrow or perfetto is not installed.
    """
    write = _WRITERS.get(path.suffix)
    if write is None and path.suffix != _TRACE:
        raise SettingsError(f"{path}: give a file whose name ends with {', '.join(_WRITERS)} or {_TRACE}")
    if write is None and what != "jobs":
        raise SettingsError(
            f"{path}: a Perfetto trace has only jobs; write {what} to a .csv or .parquet file"
        )
    try:
        return write_trace(dataset, path) if write is None else write(path, *_columns(dataset, what))
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}; choose another path") from error


def _columns(dataset: Dataset, what: str) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns, and the rows."""
    if what == "jobs":
        return list(JobRow._fields), (row._asdict() for one in dataset.complete for row in dataset.jobs(one))
    rows = [_flat(row) for row in KINDS[what](dataset)]
    return list(dict.fromkeys(name for row in rows for name in row)), iter(rows)


def _flat(row: Row) -> Row:
    """A row whose values are single ones; dictionaries and lists become JSON."""
    return {
        name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()
    }


def _variants(dataset: Dataset) -> list[dict[str, Any]]:
    return list({one.variant.taskset_id: variant_row(one) for one in dataset.runs}.values())


KINDS: Final[dict[str, Callable[[Dataset], list[dict[str, Any]]]]] = {
    "jobs": lambda _: [],
    "runs": lambda dataset: [run_row(one) for one in dataset.runs],
    "tasks": task_rows,
    "variants": _variants,
    "campaigns": lambda dataset: [asdict(one) for one in dataset.campaigns],
}
"""What can be exported; `jobs` are those of the runs that are counted, and are never all in memory."""


def _write_csv(path: Path, columns: list[str], rows: Iterator[Row]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for count, row in enumerate(rows, 1):  # noqa: B007 - the number of the last one
            writer.writerow(row)
    return count


def _write_parquet(path: Path, columns: list[str], rows: Iterator[Row]) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for Parquet files, install taskgen-events[analysis]") from error
    count = 0
    schema = _job_schema(pa) if tuple(columns) == JobRow._fields else None
    portion = list(islice(rows, _ROWS_AT_ONCE))
    table = pa.Table.from_pylist(portion, schema=schema)
    with pq.ParquetWriter(path, table.schema) as writer:
        while portion:
            writer.write_table(pa.Table.from_pylist(portion, schema=table.schema))
            count += len(portion)
            portion = list(islice(rows, _ROWS_AT_ONCE))
    return count


def _job_schema(pa: Any) -> Any:  # noqa: ANN401 - a module without types
    """The types of the columns of jobs: times of the board's clock have up to 64 bits without a sign."""
    kinds = dict.fromkeys(JobRow._fields, pa.int64())
    kinds |= {
        "run_id": pa.string(),
        "exit_type": pa.string(),
        "release_ms": pa.uint64(),
        "end_ms": pa.uint64(),
    }
    return pa.schema(list(kinds.items()))


_TRACE: Final = ".pftrace"
_WRITERS: Final = {".csv": _write_csv, ".parquet": _write_parquet}
