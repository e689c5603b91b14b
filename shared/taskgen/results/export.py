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
from taskgen.results.frames import COLUMNS, run_row, task_rows, variant_row
from taskgen.results.output import new_output
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
        SettingsError: the file's name ends otherwise, it cannot be written, is a store or cannot have these
            rows, or pyarrow or perfetto is not installed.
    """
    write = _WRITERS.get(path.suffix)
    if write is None and path.suffix != _TRACE:
        raise SettingsError(f"{path}: give a file whose name ends with {', '.join(_WRITERS)} or {_TRACE}")
    if write is None and what != "jobs":
        raise SettingsError(
            f"{path}: a Perfetto trace has only jobs; write {what} to a .csv or .parquet file"
        )
    with new_output(path) as part:
        return write_trace(dataset, part) if write is None else write(part, *_columns(dataset, what))


def _columns(dataset: Dataset, what: str) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns, and the rows."""
    if what == "jobs":
        return list(JobRow._fields), (row._asdict() for one in dataset.complete for row in dataset.jobs(one))
    rows = [_flat(row) for row in KINDS[what](dataset)]
    return list(dict.fromkeys([*COLUMNS[what], *(name for row in rows for name in row)])), iter(rows)


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
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
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
        raise SettingsError("for Parquet files install taskgen-events[analysis]") from error
    if tuple(columns) == JobRow._fields:
        schema = _job_schema(pa)
    else:  # few enough to be all in memory, so that types are those of all rows
        kept = list(rows)
        kinds = {name: _kind(pa, [row.get(name) for row in kept]) for name in columns}
        schema = pa.schema(list(kinds.items()))
        texts = {name for name, kind in kinds.items() if kind == pa.string()}
        rows = (
            {name: _as_text(row.get(name)) if name in texts else row.get(name) for name in columns}
            for row in kept
        )
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        while portion := list(islice(rows, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(portion, schema=schema))
            count += len(portion)
    return count


def _kind(pa: Any, values: list[Any]) -> Any:  # noqa: ANN401 - a module without types
    """The type of a column that holds these values; values of several types become text."""
    known = [value for value in values if value is not None]
    kinds = set(map(type, known))
    if not kinds or kinds == {bool}:
        return pa.bool_() if kinds else pa.null()
    if kinds == {int} and min(known) >= -(2**63) and max(known) < 2**64:
        if max(known) < 2**63:
            return pa.int64()
        return pa.uint64() if min(known) >= 0 else pa.string()
    is_exact = all(abs(value) <= 2**53 for value in known if type(value) is int)
    return pa.float64() if float in kinds <= {int, float} and is_exact else pa.string()


def _as_text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="backslashreplace").decode()


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
