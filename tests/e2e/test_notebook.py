"""The example notebook runs, from the store of a real demo, and shows what that has."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.support.command_line import run_taskgen

NOTEBOOK = Path(__file__).parents[2] / "examples" / "analysis.ipynb"


def read(path: Path) -> Any:
    """The notebook, as its package reads it."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def outputs(notebook: Any, kind: str) -> list[str]:
    """What its cells show, of one media type."""
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in shown if kind in output.get("data", {})]


def test_the_notebook_shows_the_misses_of_a_demo_in_tables_and_figures(tmp_path: Path) -> None:
    assert run_taskgen("demo", "--out", "demo", cwd=tmp_path).returncode == 0
    folder = tmp_path / "examples"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    notebook = read(folder / NOTEBOOK.name)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    with closing(sqlite3.connect(tmp_path / "demo" / "events.db")) as connection:
        jobs, misses = connection.execute("SELECT count(*), sum(is_miss) FROM jobs").fetchone()
    (said,) = [
        output.text for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    ]
    assert said == f"{misses} of {jobs} jobs missed their deadline\n"
    assert misses > 50
    assert len(outputs(notebook, "image/png")) == 2
    assert len(outputs(notebook, "text/html")) == 4
    by_variant = outputs(notebook, "text/html")[2]
    names = ("task1.config.arg1", "task2.config.arg1", "task2.priority", "taskset_id")
    assert [name in by_variant for name in names] == [True, True, True, False]


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = read(NOTEBOOK)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)
