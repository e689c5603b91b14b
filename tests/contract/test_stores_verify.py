"""`verify` finds what is missing, double or different between stores, and nothing else."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from taskgen.errors import StoreError
from taskgen.events.base import StoringHandler
from taskgen.events.csv import CsvHandler
from taskgen.events.csv_parts import CsvPartsHandler
from taskgen.events.postgres import PostgresHandler
from taskgen.events.sql import SqliteHandler
from taskgen.events.verify import Problem, Report, verify
from taskgen.run import Outcome
from taskgen.taskset import TaskSet
from tests.support.profiles import event
from tests.support.store_events import end_run, give, run_id, taskset


def fill(handler: StoringHandler, runs: list[TaskSet]) -> None:
    with handler:
        for tasks in runs:
            handler.__taskset_start__(tasks)
            for seq in range(0, 10, 2):
                give(handler, tasks, seq, event("START", 0, seq), event("EXIT", 0, seq + 1))
            assert tasks.run is not None
            run = tasks.run
            end_run(handler, tasks, 10)
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


def change(tmp_path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as connection:
        assert connection.execute(statement, values).rowcount > 0


def found(report: Report) -> list[tuple[str, Problem, tuple[tuple[int, int], ...]]]:
    assert report.is_clean == (not report.findings)
    assert all(str(finding).count("\n") == 0 for finding in report.findings)
    return [(finding.run_id, finding.problem, finding.ranges) for finding in report.findings]


def test_stores_with_the_same_events_are_clean(places: list[str]) -> None:
    report = verify(places)
    assert found(report) == []
    assert (report.ended, report.not_ended) == (3, 0)
    assert list(report.events.values()) == [30, 30, 30]
    assert report.notes == [f"{places[2]}: does not record the number of events of a run"]


def test_postgresql_agrees_with_the_others(
    places: list[str], runs: list[TaskSet], postgres_database: str
) -> None:
    fill(PostgresHandler(postgres_database), runs)
    report = verify([*places, postgres_database])
    assert found(report) == []
    with PostgresHandler(postgres_database) as handler:
        give(handler, runs[0], 10, event("X", 0, 0))
    assert [problem for _, problem, _ in found(verify([*places, postgres_database]))] == [Problem.SURPLUS]


def test_gaps_are_listed_with_their_ranges(places: list[str], runs: list[TaskSet], tmp_path: Path) -> None:
    run = run_id(runs[1])
    change(tmp_path, "DELETE FROM events WHERE run_id = ? AND seq IN (0, 3, 4, 9)", run)
    report = verify(places)
    assert found(report) == [(run, Problem.MISSING, ((0, 0), (3, 4), (9, 9)))]
    assert str(report.findings[0]) == f"run {run}: {places[0]}: 4 events missing: 0, 3-4, 9"


def test_a_gap_is_found_in_one_store_alone(places: list[str], runs: list[TaskSet], tmp_path: Path) -> None:
    change(tmp_path, "DELETE FROM events WHERE run_id = ?", run_id(runs[1]))
    assert found(verify(places[:1])) == [(run_id(runs[1]), Problem.MISSING, ((0, 9),))]


def test_duplicates_are_listed(places: list[str], runs: list[TaskSet], tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[3], lines[4], lines[4]]))
    report = verify(places)
    assert found(report) == [(run_id(runs[0]), Problem.DOUBLE, ((2, 3),))]
    assert found(verify(places[2:])) == [(run_id(runs[0]), Problem.DOUBLE, ((2, 3),))]


def test_an_event_that_differs_between_stores_is_listed(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    change(tmp_path, "UPDATE events SET time_stamp = 77 WHERE run_id = ? AND seq = 5", run_id(runs[2]))
    assert found(verify(places)) == [(run_id(runs[2]), Problem.OTHER_EVENTS, ((5, 5),))]


def test_events_beyond_the_closing_number_are_listed(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    change(tmp_path, "UPDATE runs SET events = 8 WHERE run_id = ?", run_id(runs[0]))
    assert found(verify(places[:1])) == [(run_id(runs[0]), Problem.SURPLUS, ((8, 9),))]


def test_a_run_that_a_store_does_not_have_is_listed(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    run = run_id(runs[0])
    change(tmp_path, "DELETE FROM runs WHERE run_id = ?", run)
    report = verify(places)
    assert found(report) == [(run, Problem.NO_RUN, ())]
    assert str(report.findings[0]) == f"run {run}: {places[0]}: run is absent"


def test_an_end_that_a_store_does_not_have_is_listed(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    change(tmp_path, "UPDATE runs SET outcome = NULL, ended_at = NULL WHERE run_id = ?", run_id(runs[0]))
    assert found(verify(places)) == [(run_id(runs[0]), Problem.NO_END, ())]


def test_a_differing_run_is_listed_with_the_differences(
    places: list[str], runs: list[TaskSet], tmp_path: Path
) -> None:
    change(tmp_path, "UPDATE runs SET outcome = 'timed_out' WHERE run_id = ?", run_id(runs[0]))
    report = verify(places)
    assert found(report) == [(run_id(runs[0]), Problem.OTHER_RUN, ())]
    assert "outcome finished instead of timed_out" in str(report.findings[0])


def test_runs_without_a_known_end_are_counted_and_skipped(tmp_path: Path) -> None:
    tasks = taskset()
    with SqliteHandler(tmp_path / "events.db") as handler:
        give(handler, tasks, 5, event("X", 0, 0))
    report = verify([f"sqlite:{tmp_path}/events.db"])
    assert (report.is_clean, report.ended, report.not_ended) == (True, 0, 1)


def test_a_run_without_events_need_not_be_in_a_plain_csv_file(tmp_path: Path) -> None:
    tasks = taskset()
    makers: list[Callable[[], StoringHandler]] = [
        lambda: SqliteHandler(tmp_path / "events.db"),
        lambda: CsvHandler(tmp_path / "events.csv"),
    ]
    for make in makers:
        with make() as handler:
            end_run(handler, tasks, 0, Outcome.BOARD_LOST)
    report = verify([f"sqlite:{tmp_path}/events.db", f"csv:{tmp_path}/events.csv"])
    assert (report.is_clean, report.ended) == (True, 1)


def test_a_plain_csv_file_alone_is_checked_for_gaps(tmp_path: Path) -> None:
    tasks = taskset()
    with CsvHandler(tmp_path / "events.csv") as handler:
        give(handler, tasks, 0, event("X", 0, 0))
        give(handler, tasks, 3, event("X", 0, 3))
    assert found(verify([f"csv:{tmp_path}/events.csv"])) == [(run_id(tasks), Problem.MISSING, ((1, 2),))]


def test_a_gap_at_the_end_of_the_numbers_costs_no_memory(tmp_path: Path) -> None:
    tasks = taskset()
    assert tasks.run is not None
    with SqliteHandler(tmp_path / "events.db") as handler:
        give(handler, tasks, 10**15, event("X", 0, 0))
        tasks.run = replace(tasks.run, first_seq=0)
        end_run(handler, tasks, 10**15 + 1)
    (finding,) = verify([f"sqlite:{tmp_path}/events.db"]).findings
    assert finding.count == 10**15


@pytest.mark.parametrize("spec", ["events.db", "sqlite:", "mysql://x", "sqlite:no.db", "csv:no.csv", "csv:."])
def test_an_invalid_store_is_an_error_in_one_line(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as caught:
        verify([spec])
    assert "\n" not in str(caught.value)
