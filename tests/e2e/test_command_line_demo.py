"""`taskgen demo` and `taskgen show`: from nothing to stored events, and a look at them."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from taskgen.events.sql import SqliteReader, read_runs
from taskgen.run import Outcome
from tests.support.command_line import environment, events_in_csv, events_in_database, run_taskgen


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo was run twice."""
    folder = tmp_path_factory.mktemp("demo")
    for times in (1, 2):
        ended = run_taskgen("demo", "--out", "results", cwd=folder)
        assert ended.returncode == 0, ended.stderr
        assert "18 finished (of 18 variants)" in ended.stdout
        assert "taskgen show results/events.db" in ended.stdout
        assert len(read_runs(folder / "results" / "events.db")) == 18 * times
    return folder


def test_both_stores_hold_the_same_events_of_both_times(demo: Path) -> None:
    events = events_in_database(demo / "results" / "events.db")
    assert events == events_in_csv(demo / "results" / "events.csv")
    assert sum(events.values()) == sum(run.events for run in read_runs(demo / "results" / "events.db"))


def test_the_demo_shows_jobs_that_end_well_and_jobs_that_do_not(demo: Path) -> None:
    with closing(sqlite3.connect(demo / "results" / "events.db")) as connection:
        exits = dict(connection.execute("SELECT exit_type, count(*) FROM jobs GROUP BY 1"))
        (variants,) = connection.execute("SELECT count(DISTINCT variant) FROM runs").fetchone()
    assert exits["EXIT"] > exits["EXIT_CRITICAL"] > 0
    assert variants == 18


def test_show_lists_the_latest_runs_and_says_how_many_more_there_are(demo: Path) -> None:
    ended = run_taskgen("show", "results/events.db", "--last", "5", cwd=demo)
    runs = read_runs(demo / "results" / "events.db")
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[-1] for line in ended.stdout.splitlines()[1:-1]] == [run.run_id for run in runs[-5:]]
    assert "31 earlier ones" in ended.stdout


@pytest.mark.parametrize("columns", [30, 60, 80, 150])
def test_show_keeps_what_matters_however_narrow_the_terminal_is(demo: Path, columns: int) -> None:
    ended = run_taskgen("show", "results/events.db", cwd=demo, COLUMNS=str(columns))
    assert ended.returncode == 0, ended.stderr
    assert max(map(len, ended.stdout.splitlines())) <= columns
    assert read_runs(demo / "results" / "events.db")[-1].run_id[-5:] in ended.stdout or columns < 60


@pytest.mark.parametrize("part", [slice(None), slice(-8, None), slice(0, -1)])
def test_a_run_is_found_by_its_id_or_the_end_or_the_beginning_of_it(demo: Path, part: slice) -> None:
    run_id = read_runs(demo / "results" / "events.db")[-1].run_id
    ended = run_taskgen("show", "results/events.db", "--run", run_id[part], cwd=demo)
    assert ended.returncode == 0, ended.stderr
    assert run_id in ended.stdout


def test_a_run_s_jobs_are_a_table_and_a_chart_as_wide_as_the_terminal(demo: Path) -> None:
    run = read_runs(demo / "results" / "events.db")[0]
    ended = run_taskgen("show", "results/events.db", "--run", run.run_id, cwd=demo, COLUMNS="90")
    lines = ended.stdout.splitlines()
    with closing(sqlite3.connect(demo / "results" / "events.db")) as connection:
        (jobs,) = connection.execute("SELECT count(*) FROM jobs WHERE run_id = ?", (run.run_id,)).fetchone()
    first = next(number for number, line in enumerate(lines) if line.startswith("task  "))
    assert sum(" EXIT" in line for line in lines[first : first + 1 + jobs]) == jobs
    chart = [line for line in lines if "┃" in line or "┣" in line]
    assert [line.split()[1] for line in chart] == ["hey", "cond_mod", "tumatmul"]
    assert max(map(len, lines)) <= 90
    assert lines[-2].endswith("ms")


@pytest.mark.parametrize("part", ["", "zzz", "zzzzzz"])
def test_an_id_that_names_no_run_is_refused(demo: Path, part: str) -> None:
    ended = run_taskgen("show", "results/events.db", "--run", part, cwd=demo)
    assert ended.returncode == 2
    assert f"no run has id {part!r}" in ended.stderr


def test_an_ambiguous_id_lists_what_it_could_mean(demo: Path) -> None:
    with closing(SqliteReader(demo / "results" / "events.db")) as reader:
        first, *_ = ids = [run.run_id for run in reader.runs()]
    ended = run_taskgen("show", "results/events.db", "--run", first[:4], cwd=demo)
    assert ended.returncode == 2
    assert f"{first[:4]!r} is ambiguous: it could be run {first}, run {ids[1]}" in ended.stderr


def test_a_reader_that_closes_the_pipe_causes_no_error(demo: Path) -> None:
    show = [sys.executable, "-m", "taskgen", "show", "results/events.db", "--last", "36"]
    with subprocess.Popen(
        show, cwd=demo, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as shown:
        assert shown.stdout is not None
        assert shown.stderr is not None
        shown.stdout.close()
        assert shown.stderr.read() == ""
    assert shown.returncode in {0, 1}


def test_a_chart_can_be_drawn_in_plain_ascii(demo: Path) -> None:
    run_id = read_runs(demo / "results" / "events.db")[0].run_id
    ended = run_taskgen(
        "show", "results/events.db", "--run", run_id, cwd=demo, PYTHONIOENCODING="ascii", LC_ALL="C"
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.isascii()
    assert "[=" in ended.stdout


def test_outcomes_in_the_table_are_those_of_the_database(demo: Path) -> None:
    ended = run_taskgen("show", "results/events.db", "--last", "1000", cwd=demo)
    finished = sum(run.outcome is Outcome.FINISHED for run in read_runs(demo / "results" / "events.db"))
    assert ended.stdout.count(" finished ") == finished == 36
