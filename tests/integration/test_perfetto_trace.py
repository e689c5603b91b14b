"""`taskgen export` to a Perfetto trace, opened in Perfetto's viewer and queried with its trace processor."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskgen.events.sql import SqliteHandler
from taskgen.simulation import run_boards
from tests.support.browser import perfetto_viewer
from tests.support.command_line import run_taskgen, write_taskset
from tests.support.profiles import event
from tests.support.store_events import end_run, give, taskset

if TYPE_CHECKING:
    from playwright.sync_api import Page

TASKS = [
    {"pkg": "tumatmul", "period": 100, "deadline": 70, "numberofjobs": 5, "config": {"arg1": [20, 60, 120]}},
    {"pkg": "hey", "period": 50, "offset": 5, "numberofjobs": 8, "priority": 1},
]
COLUMNS = "task_id, job, exit_type, release_ms, end_ms, response_ms, deadline_ms, lateness_ms, is_miss"
ARGUMENTS = ", ".join(f"extract_arg(arg_set_id, 'debug.{name}')" for name in COLUMNS.split(", "))
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a campaign of three variants on two boards, in `events.db`."""
    path = tmp_path_factory.mktemp("trace")
    write_taskset(path, *TASKS)
    with run_boards(2, speed=10) as addresses:
        boards = [part for address in addresses for part in ("--board", address)]
        ended = run_taskgen("run", "taskset.json", *boards, "--sqlite", "events.db", cwd=path)
    assert ended.returncode == 0, ended.stderr
    return path


def rows_of(store: Path, sql: str) -> list[list[Any]]:
    with closing(sqlite3.connect(store)) as connection:
        return [list(row) for row in connection.execute(sql)]


def exported(folder: Path, store: str, name: str, *more: str) -> None:
    ended = run_taskgen("export", store, "--output", name, *more, cwd=folder)
    assert ended.returncode == 0, ended.stderr


def test_the_trace_processor_finds_every_job_with_its_metrics(folder: Path, page: Page) -> None:
    exported(folder, "events.db", "all.pftrace")
    order = "ORDER BY run_id, task_id, job"
    jobs = rows_of(folder / "events.db", f"SELECT run_id, {COLUMNS} FROM jobs {order}")
    boards = rows_of(folder / "events.db", "SELECT DISTINCT board FROM runs ORDER BY board")
    with perfetto_viewer(page, folder) as viewer:
        viewer.open("all.pftrace")
        assert viewer.complaints() == []
        found = viewer.query(
            f"SELECT extract_arg(arg_set_id, 'debug.run_id') AS run_id, {ARGUMENTS} FROM slice "
            "WHERE category = 'job' ORDER BY 1, 2, 3"
        )
        assert found == jobs
        assert len(found) == 3 * (5 + 8)
        assert viewer.query("SELECT name FROM process WHERE name IS NOT NULL ORDER BY name") == boards
        lengths = "SELECT count(*) FROM slice WHERE category = 'job' AND dur = 1000000 * extract_arg"
        assert viewer.query(f"{lengths}(arg_set_id, 'debug.response_ms')") == [[len(jobs)]]
        missed = sum(job[-1] for job in jobs)
        marks = "SELECT count(*) FROM slice WHERE category = 'deadline' AND name = 'deadline missed'"
        assert viewer.query(marks) == [[missed]]
        assert missed >= 5


def test_a_board_is_a_process_with_a_track_for_each_run_and_each_task_of_it(folder: Path, page: Page) -> None:
    exported(folder, "events.db", "tracks.pftrace")
    runs = rows_of(folder / "events.db", "SELECT run_id, board FROM runs ORDER BY run_id")
    with perfetto_viewer(page, folder) as viewer:
        viewer.open("tracks.pftrace")
        tracks = viewer.tracks()
        overlaps = viewer.query(
            "WITH runs AS (SELECT ts, dur, slice.id, upid FROM slice JOIN process_track "
            "ON track_id = process_track.id WHERE category = 'run') "
            "SELECT count(*) FROM runs AS a JOIN runs AS b USING (upid) "
            "WHERE a.id < b.id AND a.ts < b.ts + b.dur AND b.ts < a.ts + a.dur"
        )
    for run_id, board in runs:
        name = f"run {run_id[-8:]}"
        assert [parent.rpartition(" ")[0] for found, parent in tracks if parent and found == name] == [board]
        assert [found for found, parent in tracks if parent == name] == ["0 tumatmul", "1 hey"]
    assert overlaps == [[0]]


def test_the_runs_of_a_trace_can_be_chosen(folder: Path, page: Page) -> None:
    exported(folder, "events.db", "one.pftrace", "--where", "task0.config.arg1=120")
    with perfetto_viewer(page, folder) as viewer:
        viewer.open("one.pftrace")
        argument = "extract_arg(arg_set_id, 'debug.task0_config_arg1')"  # Perfetto replaces the dots
        found = viewer.query(f"SELECT name, {argument} FROM slice WHERE category = 'run'")
        assert found == [["task0.config.arg1=120", 120]]


@pytest.mark.servers
def test_every_store_gives_the_same_trace(tmp_path: Path, postgres_database: str) -> None:
    write_taskset(tmp_path, *TASKS)
    specs = ("sqlite:events.db", "csv:events.csv", postgres_database)
    stores = [part for spec in specs for part in ("--store", spec)]
    with run_boards(1, speed=10) as (address,):
        ended = run_taskgen("run", "taskset.json", "--board", address, *stores, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for spec in specs:
        exported(tmp_path, spec, f"{spec[:6]}.pftrace")
    traces = {path.read_bytes() for path in tmp_path.glob("*.pftrace")}
    assert len(list(tmp_path.glob("*.pftrace"))) == 3
    assert len(traces) == 1


def store_odd_runs(path: Path) -> None:
    """Two runs of one board, with a reboot between them, and one that is incomplete."""
    with SqliteHandler(path) as handler:
        first = taskset(started_at="2026-01-01T00:00:00.000000+00:00")
        handler.__taskset_start__(first)
        end = 2**32
        give(handler, first, 0, event("START", 0, end - 30), event("EXIT", 0, 10))  # the clock wraps
        give(handler, first, 2, event("NOT_SCHEDULED", 0, 70), event("EXIT", 1, 80), event("START", 0, 170))
        end_run(handler, first, 5)
        second = taskset(started_at="2026-01-01T01:00:00.000000+00:00")
        handler.__taskset_start__(second)
        give(handler, second, 0, event("START", 0, 5), event("EXIT_EXTERNAL", 0, 25))
        end_run(handler, second, 2)
        third = taskset(started_at="2026-01-01T02:00:00.000000+00:00")
        handler.__taskset_start__(third)
        give(handler, third, 0, event("START", 0, 5))
        end_run(handler, third, 9)


def test_odd_jobs_are_instants_and_a_wrapped_or_reset_clock_continues(tmp_path: Path, page: Page) -> None:
    store_odd_runs(tmp_path / "odd.db")
    ended = run_taskgen("export", "odd.db", "--output", "odd.pftrace", cwd=tmp_path)
    assert ended.stderr.splitlines() == [
        "5 jobs written to odd.pftrace",
        "1 run left out: incomplete, or a fault of the lab",
    ]
    with perfetto_viewer(page, tmp_path) as viewer:
        viewer.open("odd.pftrace")
        assert viewer.complaints() == []
        ms = "SELECT name, ts / 1000000, dur / 1000000 FROM slice WHERE category"
        assert viewer.query(f"{ms} = 'job' ORDER BY ts") == [
            ["EXIT", 0, 40],
            ["NOT_SCHEDULED (miss)", 100, 0],
            ["EXIT", 110, 0],  # its release was not seen
            ["end unknown", 200, 0],
            ["EXIT_EXTERNAL", 200, 20],  # after the reboot
        ]
        assert viewer.query(f"{ms} = 'run' ORDER BY ts") == [["variant 0", 0, 200], ["variant 0", 200, 20]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--output", "t.pftrace", "--what", "runs"), "a Perfetto trace has only jobs"),
        (("--output", "t.perfetto"), "ends with .csv, .parquet or .pftrace"),
        (("--output", "no/such/t.pftrace"), "choose another path"),
    ],
)
def test_an_unwritable_path_gives_one_line(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    ended = run_taskgen("export", "events.db", *arguments, cwd=folder)
    assert (ended.returncode, ended.stderr.count("\n"), says in ended.stderr) == (2, 1, True)


def test_without_the_extra_one_line_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "perfetto.py").write_text("raise ImportError\n")
    arguments = ("export", "events.db", "--output", "missing.pftrace")
    ended = run_taskgen(*arguments, cwd=folder, PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "install taskgen-events[perfetto]" in ended.stderr
    assert not (folder / "missing.pftrace").exists()
