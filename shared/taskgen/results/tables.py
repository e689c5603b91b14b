"""The statistics of tasks as tables: CSV and LaTeX."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from taskgen.results.output import new_output
from taskgen.results.statistics import COLUMNS, TaskStatistics, row

_LATEX_COLUMNS: Final = (
    "variant",
    "task",
    "jobs",
    "misses",
    "unknown",
    "skipped_releases",
    "median_ms",
    "p95_ms",
    "max_ms",
)
_SPECIAL: Final = str.maketrans(
    {one: f"\\{one}" for one in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def write_csv(path: Path, statistics: Iterable[TaskStatistics]) -> None:
    """Write one line for each task of each variant.

    Raises:
        SettingsError: the file cannot be written.
    """
    with new_output(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(map(row, statistics))


def write_latex(path: Path, statistics: Sequence[TaskStatistics]) -> None:
    """Write a `tabular` for the package booktabs.

    A column for jobs of which it is unknown whether they are misses is there if there are any.

    Raises:
        SettingsError: the file cannot be written.
    """
    has_unknown = any(one.unknown for one in statistics)
    columns = [name for name in _LATEX_COLUMNS if has_unknown or name != "unknown"]
    head = " & ".join(name.replace("_ms", " (ms)").replace("_", " ") for name in columns)
    lines = [
        r"\begin{tabular}{ll" + "r" * (len(columns) - 2) + "}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
    ]
    for one in statistics:
        values = dict(zip(COLUMNS, row(one), strict=True)) | _told_apart(one)
        cells = ("" if values[name] is None else str(values[name]) for name in columns)
        lines.append(" & ".join(cell.translate(_SPECIAL) for cell in cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    with new_output(path) as part:
        part.write_text("\n".join(lines), encoding="utf-8")


def _told_apart(one: TaskStatistics) -> dict[str, str]:
    """Variant and task, as LaTeX has no column of its own for campaigns and files."""
    return {"variant": one.name, "task": f"{one.task_id} {one.pkg}"}
