"""Every recipe of docs/cookbook.md runs, and finds something."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from taskgen.distributor import Distributor
from taskgen.events.postgres import PostgresHandler
from taskgen.events.sql import SqliteHandler
from taskgen.loading.taskset_files import read_taskset
from taskgen.run import CampaignFacts, Outcome
from taskgen.simulation import run_boards
from tests.support.browser import perfetto_viewer
from tests.support.command_line import run_taskgen
from tests.support.profiles import event
from tests.support.store_events import end_run, give, taskset

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cookbook.md").read_text()
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PERFETTO = re.findall(r"```perfetto\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an `events.db`, as the README's tour leaves it."""
    path = tmp_path_factory.mktemp("cookbook")
    taskset = read_taskset(str(ROOT / "examples" / "variants.json"))
    with (
        run_boards(3, speed=10) as boards,
        SqliteHandler(path / "events.db") as handler,
        Distributor(boards, event_handler=handler) as distributor,
    ):
        distributor.start(taskset, name="tour")
    return path


@pytest.mark.parametrize("number", range(len(SQL)))
def test_a_recipe_in_sql_runs_in_sqlite(folder: Path, number: int) -> None:
    with closing(sqlite3.connect(folder / "events.db")) as connection:
        rows = connection.execute(SQL[number]).fetchall()
    assert bool(rows) is ("run_metrics" not in SQL[number])  # every run is complete


def test_the_recipes_in_sql_run_in_postgresql(postgres_database: str) -> None:
    PostgresHandler(postgres_database).close()
    with psycopg.connect(postgres_database) as connection:
        for statement in SQL:
            assert connection.execute(statement.encode()).fetchall() == []


def test_the_recipes_in_python_run_and_print(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for recipe in PYTHON:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(recipe, names)
        assert printed.getvalue().strip()


@pytest.fixture
def retried(tmp_path: Path) -> Path:
    """With an `events.db` of one variant: an attempt whose board was lost, and a result with a killed job."""
    with SqliteHandler(tmp_path / "events.db") as handler:
        for attempt, outcome in enumerate([Outcome.BOARD_LOST, Outcome.FINISHED], 1):
            tasks = taskset(
                campaign=CampaignFacts(campaign_id="c", started_at="2024-05-06"),
                taskset_id="the same",
                attempt=attempt,
                parameters={"task1.config.arg1": 7},
            )
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, 0), event("EXIT", 0, 33 * attempt))
            give(handler, tasks, 2, event("START", 0, 100), event("EXIT_PERIOD", 0, 999))
            end_run(handler, tasks, 4, outcome)
    return tmp_path


def test_the_recipes_in_sql_count_a_variant_that_was_tried_again_once(retried: Path) -> None:
    with closing(sqlite3.connect(retried / "events.db")) as connection:
        found = [connection.execute(statement).fetchall() for statement in SQL]
    assert found[0] == [('{"task1.config.arg1": 7}', 0, 2, 1, 0.5)]
    assert [row[3] for row in found[1]] == [899, 66]
    assert [row[2:5] for row in found[2]] == [(1, 1, 66)]
    assert [row[2:] for row in found[3]] == [(2, 1, 1, 0, 2, 1, 0)]
    assert [row[1] for row in found[4]] == ["board_lost"]


def test_the_recipes_in_python_measure_completed_jobs_of_results(
    retried: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(retried)
    names: dict[str, object] = {}
    for recipe, shows in zip(PYTHON, ("66.0", "0.5", "66"), strict=True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(recipe, names)
        assert shows in printed.getvalue()
        assert "899" not in printed.getvalue()


@pytest.mark.parametrize("number", range(len(SHELL)))
def test_the_commands_work(folder: Path, number: int) -> None:
    for line in SHELL[number].splitlines():
        command, *arguments = shlex.split(line)
        assert command == "taskgen"
        ended = run_taskgen(*arguments, cwd=folder)
        assert ended.returncode == 0, ended.stderr


def test_the_recipes_for_perfetto_run_in_its_viewer(folder: Path, page: Page) -> None:
    assert run_taskgen("export", "events.db", "--output", "viewed.pftrace", cwd=folder).returncode == 0
    with perfetto_viewer(page, folder) as viewer:
        viewer.open("viewed.pftrace")
        for recipe in PERFETTO:
            assert sum(row[2] for row in viewer.query(recipe)) == 6 * 15
    assert PERFETTO
