"""`verify` finds runs that no store tells of any more, and tasks that are gone or were changed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from taskgen.events.base import StoringHandler
from taskgen.events.csv import CsvHandler
from taskgen.events.csv_parts import CsvPartsHandler
from taskgen.events.postgres import PostgresHandler
from taskgen.events.sql import SqliteHandler
from taskgen.events.verify import Problem, Report, verify
from taskgen.taskset import TaskSet
from tests.support.profiles import event
from tests.support.store_events import end_run, give, run_id, taskset


def fill(handler: StoringHandler, runs: list[TaskSet]) -> None:
    """Give each run four events of two tasks."""
    with handler:
        for tasks in runs:
            assert tasks.run is not None
            run = tasks.run
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, 1), event("START", 1, 2))
            give(handler, tasks, 2, event("EXIT", 1, 3), event("EXIT", 0, 4))
            end_run(handler, tasks, 4)
            tasks.run = run


@pytest.fixture
def runs() -> list[TaskSet]:
    return [taskset(variant=number) for number in range(3)]


@pytest.fixture
def places(tmp_path: Path, runs: list[TaskSet]) -> list[str]:
    fill(SqliteHandler(tmp_path / "events.db"), runs)
    fill(CsvPartsHandler(tmp_path / "parts"), runs)
    fill(CsvHandler(tmp_path / "events.csv"), runs)
    return [f"sqlite:{tmp_path}/events.db", f"csv:{tmp_path}/parts", f"csv:{tmp_path}/events.csv"]


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement, values).rowcount > 0


def found(report: Report) -> list[tuple[str, str, Problem, str]]:
    assert report.is_clean == (not report.findings)
    assert report.found == len(report.findings)
    assert all(str(finding).count("\n") == 0 for finding in report.findings)
    return [(one.run_id, one.store, one.problem, one.detail) for one in report.findings]


def test_a_run_that_is_in_no_table_of_runs_while_its_events_are_there(
    places: list[str], runs: list[TaskSet], tmp_path: Path, postgres_database: str
) -> None:
    fill(PostgresHandler(postgres_database), runs)
    run = run_id(runs[1])
    change(tmp_path / "events.db", "DELETE FROM runs WHERE run_id = ?", run)
    change(tmp_path / "parts/ledger.db", "DELETE FROM runs WHERE run_id = ?", run)
    with psycopg.connect(postgres_database) as connection:
        connection.execute("DELETE FROM runs WHERE run_id = %s", (run,))
    for stores in ([*places, postgres_database], [*places[:2], postgres_database]):
        report = verify(stores)
        assert (report.ended, report.not_ended) == (2, 0)
        names = report.stores
        left = "but 4 of its events are there and its tasks are there"
        assert found(report) == [(run, names[number], Problem.NO_RUN, left) for number in (0, 1, -1)]


def test_events_without_a_run_in_one_store_alone(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    run = run_id(runs[2])
    change(tmp_path / "events.db", "DELETE FROM tasks WHERE run_id = ?", run)
    left = "but 4 of its events are there"
    for place, path, more in (
        (places[0], "events.db", ""),
        (places[1], "parts/ledger.db", " and its tasks are there"),
    ):
        change(tmp_path / path, "DELETE FROM runs WHERE run_id = ?", run)
        report = verify([place])
        assert found(report) == [(run, place, Problem.NO_RUN, left + more)]
        assert str(report.findings[0]).endswith(f": run is absent: {left}{more}")


def test_tasks_without_a_run(places: list[str], runs: list[TaskSet], tmp_path: Path) -> None:
    run = run_id(runs[0])
    for table in ("runs", "events"):
        change(tmp_path / "events.db", f"DELETE FROM {table} WHERE run_id = ?", run)
    assert found(verify(places[:1])) == [(run, places[0], Problem.NO_RUN, "but its tasks are there")]


def test_a_run_that_only_a_plain_csv_file_has(places: list[str], runs: list[TaskSet], tmp_path: Path) -> None:
    run = run_id(runs[0])
    for table in ("runs", "events", "tasks"):
        change(tmp_path / "events.db", f"DELETE FROM {table} WHERE run_id = ?", run)
    report = verify([places[0], places[2]])
    assert found(report) == [(run, places[0], Problem.NO_RUN, "")]
    assert (report.ended, report.not_ended) == (2, 0)


def test_the_events_of_a_run_that_is_in_no_table_are_compared_all_the_same(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    run = run_id(runs[0])
    change(tmp_path / "events.db", "DELETE FROM runs WHERE run_id = ?", run)
    change(tmp_path / "parts/ledger.db", "DELETE FROM runs WHERE run_id = ?", run)
    change(tmp_path / "events.db", "DELETE FROM events WHERE run_id = ? AND seq = 1", run)
    missing = [one for one in verify(places).findings if one.problem is Problem.MISSING]
    assert [(one.store, one.ranges) for one in missing] == [(places[0], ((1, 1),))]


def test_events_without_a_run_are_reported_even_while_another_store_lacks_its_end(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    run = run_id(runs[0])
    change(tmp_path / "events.db", "UPDATE runs SET outcome = NULL WHERE run_id = ?", run)
    change(tmp_path / "parts/ledger.db", "DELETE FROM runs WHERE run_id = ?", run)
    report = verify(places)
    left = "but 4 of its events are there and its tasks are there"
    assert found(report) == [(run, places[1], Problem.NO_RUN, left)]
    assert (report.ended, report.not_ended) == (2, 1)


@pytest.mark.parametrize(
    ("statement", "problem", "detail"),
    [
        ("UPDATE tasks SET period = 7 WHERE task_id = 0", "other", "task 0: period 7 instead of 100"),
        ("UPDATE tasks SET quota = NULL WHERE task_id = 1", "other", "task 1: quota None instead of '1M'"),
        (
            """UPDATE tasks SET config = '{"arg1": 43}' WHERE task_id = 0""",
            "other",
            "task 0: config {'arg1': 43} instead of {'arg1': 42}",
        ),
        ("DELETE FROM tasks WHERE task_id = 1", "other", "no task 1"),
        (
            "UPDATE tasks SET task_id = 2 WHERE task_id = 1",
            "other",
            "no task 1, task 2, which is not in the other stores",
        ),
        ("DELETE FROM tasks WHERE task_id < 9", "none", ""),
    ],
)
def test_tasks_are_compared_between_stores(
    places: list[str],
    runs: list[TaskSet],
    postgres_database: str,
    statement: str,
    problem: str,
    detail: str,
) -> None:
    fill(PostgresHandler(postgres_database), runs)
    assert found(verify([*places, postgres_database])) == []
    run = run_id(runs[1])
    with psycopg.connect(postgres_database) as connection:
        connection.execute(f"{statement} AND run_id = '{run}'".encode())
    report = verify([*places, postgres_database])
    name = report.stores[-1]
    expected = Problem.NO_TASKS if problem == "none" else Problem.OTHER_TASKS
    assert [one for one in found(report) if one[2] is not Problem.STRAY] == [(run, name, expected, detail)]


def test_missing_tasks_are_noticed_in_a_single_store(
    places: list[str], runs: list[TaskSet], tmp_path: Path, postgres_database: str
) -> None:
    run = run_id(runs[1])
    change(tmp_path / "events.db", "DELETE FROM tasks WHERE run_id = ?", run)
    assert found(verify(places[:1])) == [(run, places[0], Problem.NO_TASKS, "")]
    fill(PostgresHandler(postgres_database), runs)
    with psycopg.connect(postgres_database) as connection:
        connection.execute("TRUNCATE tasks")
    report = verify([postgres_database])
    assert found(report) == [(run_id(one), report.stores[0], Problem.NO_TASKS, "") for one in runs]


def test_events_of_a_missing_task_are_listed_in_a_single_store(
    places: list[str], runs: list[TaskSet], tmp_path: Path, postgres_database: str
) -> None:
    run = run_id(runs[1])
    change(tmp_path / "events.db", "DELETE FROM tasks WHERE run_id = ? AND task_id = 1", run)
    fill(PostgresHandler(postgres_database), runs)
    with psycopg.connect(postgres_database) as connection:
        connection.execute("DELETE FROM tasks WHERE run_id = %s AND task_id = 1", (run,))
    for place in (places[0], postgres_database):
        report = verify([place])
        assert found(report) == [(run, report.stores[0], Problem.STRAY, "")]
        assert str(report.findings[0]).endswith(": 2 events of unknown tasks: 1-2")


def test_an_event_without_a_task_needs_none(tmp_path: Path, postgres_database: str) -> None:
    """Boards answer with the task -1 to who asks from outside, and new ones may say what nobody knows yet."""
    tasks = taskset()
    for handler in (SqliteHandler(tmp_path / "events.db"), PostgresHandler(postgres_database)):
        run = tasks.run
        with handler:
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("EXTERNAL", -1, 1), event("TEMPERATURE", 7, 2))
            end_run(handler, tasks, 2)
        tasks.run = run
    assert found(verify([f"sqlite:{tmp_path}/events.db", postgres_database])) == []


@pytest.mark.parametrize("count", [1, 4])
def test_lines_that_contradict_each_other_about_their_run_are_reported(
    places: list[str], runs: list[TaskSet], tmp_path: Path, count: int
) -> None:
    path = tmp_path / "events.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    for number in range(5, 5 + count):
        lines[number] = lines[number].replace(b"127.0.10.1:3001", b"elsewhere:1")
    path.write_bytes(b"".join(lines))
    ((run, store, problem, detail),) = found(verify([places[0], places[2]]))
    assert (run, store, problem) == (run_id(runs[1]), places[2], Problem.OTHER_RUN)
    assert detail.endswith("board elsewhere:1 instead of 127.0.10.1:3001")
    alone = found(verify(places[2:]))
    assert [one[2] for one in alone] == ([Problem.OTHER_RUN] if count == 1 else [])


def test_lines_that_contradict_the_ledger_about_their_run(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    change(tmp_path / "parts/ledger.db", "UPDATE runs SET variant = 9 WHERE run_id = ?", run_id(runs[0]))
    assert found(verify(places[1:2])) == [
        (run_id(runs[0]), places[1], Problem.OTHER_RUN, "its lines have variant 0 instead of 9")
    ]
