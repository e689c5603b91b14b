"""The files beside a CSV store: what is damaged in them is said, and never turns a miss into a hit."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from taskgen.events.csv import CsvHandler
from taskgen.events.sql import SqliteHandler
from taskgen.run import CampaignFacts
from tests.support.profiles import event
from tests.support.store_damage import bear, run_command
from tests.support.store_events import end_run, give, run_id, taskset

TABLES = ("campaigns", "variants", "tasks", "binaries", "runs", "results")


def store_run(path: Path, name: str = "damaged") -> str:
    """A run of two tasks, the first of which misses its deadline, in a CSV store; returns its id."""
    tasks = taskset(
        campaign=CampaignFacts(name=name), binaries={"hey": "00ff"}, parameters={"task0.priority": 1}
    )
    assert tasks.run is not None
    with CsvHandler(path) as handler:
        handler.__taskset_start__(tasks)
        tasks.run.record(score=1)
        handler.take_results(tasks)
        give(handler, tasks, 0, event("START", 0, 0), event("EXIT", 0, 150))
        give(handler, tasks, 2, event("START", 1, 0), event("EXIT", 1, 20))
        end_run(handler, tasks, 4)
    return run_id(tasks)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    store_run(path)
    return path


def beside(store: Path, table: str) -> Path:
    return store.with_name(f"new.{table}.csv")


def test_the_store_that_is_damaged_here_is_a_good_one(store: Path) -> None:
    assert {path.name for path in store.parent.iterdir()} == {
        "new.csv",
        *(f"new.{table}.csv" for table in TABLES),
    }
    assert "1 run in the statistics" in run_command("report", store).stdout


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("damage", [b",", b"\xff", b"\n"])
def test_a_damaged_row_is_named_with_its_file_and_line(store: Path, table: str, damage: bytes) -> None:
    path = beside(store, table)
    header, row = path.read_bytes().split(b"\r\n")[:2]
    path.write_bytes(b"\r\n".join([header, row[:20] + damage + row[20:], b""]))
    for command in ("report", "verify"):
        ended = bear(command, store if command == "report" else f"csv:{store}")
        assert ended.code == 2, ended
        assert f"new.{table}.csv: line 2: damaged, or changed by another program: " in ended.stderr
    before = path.read_bytes()
    with pytest.raises(Exception, match="line 2"):
        CsvHandler(store)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("tasks", b",100,", b",5x,", "period is '5x', not a whole number"),
        ("runs", b"finished", b"finish", "outcome is 'finish', not one of finished, "),
        ("variants", b"{", b"", "line 2"),
        ("results", b",1\r", b",\r", "line 2"),
    ],
)
def test_a_value_that_means_nothing_is_named(
    store: Path, table: str, old: bytes, new: bytes, said: str
) -> None:
    path = beside(store, table)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    ended = bear("report", store)
    assert ended.code == 2
    assert f"{path}: line 2: " in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("missing", [1, 2, 3, 15])
def test_a_torn_last_row_makes_its_run_incomplete(store: Path, table: str, missing: int) -> None:
    whole = store_run(store, "another")  # whose rows are the last ones
    path = beside(store, table)
    path.write_bytes(path.read_bytes()[:-missing])
    ended = bear("report", store)
    assert ended.code == 0
    assert "1 run in the statistics\n1 run left out" in ended.stdout
    run_command("export", store, "-o", store.with_name("jobs.out.csv"))
    assert whole not in store.with_name("jobs.out.csv").read_text()


@pytest.mark.parametrize("number", [1, 2])
def test_a_run_that_lacks_the_row_of_a_task_is_incomplete(store: Path, number: int) -> None:
    path = beside(store, "tasks")
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[number]
    path.write_bytes(b"".join(lines))
    assert "0 runs in the statistics\n1 run left out" in bear("report", store).stdout


@pytest.mark.parametrize("damage", ["torn", "missing", "changed"])
def test_verify_finds_a_task_that_differs_from_another_store(store: Path, damage: str) -> None:
    tasks, other = taskset(), store.with_name("other.csv")
    with CsvHandler(other) as csv, SqliteHandler(store.with_name("other.db")) as sqlite:
        for handler in (csv, sqlite):
            run = tasks.run
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, 0), event("EXIT", 0, 150))
            end_run(handler, tasks, 2)
            tasks.run = run
    stores = (f"csv:{other}", f"sqlite:{store.with_name('other.db')}")
    assert run_command("verify", *stores).code == 0
    path = other.with_name("other.tasks.csv")
    header, first, second, _ = path.read_bytes().split(b"\r\n")
    rows = {
        "torn": [header, first, second[:-5]],
        "missing": [header, second, b""],
        "changed": [header, first.replace(b",100,", b",101,"), second, b""],
    }
    path.write_bytes(b"\r\n".join(rows[damage]))
    ended = bear("verify", *stores)
    assert (ended.code, "task" in ended.stdout) == (1, True), ended


@pytest.mark.parametrize("table", ["campaigns", "variants", "tasks", "runs"])
def test_a_run_without_one_of_its_files_is_incomplete(store: Path, table: str) -> None:
    beside(store, table).unlink()
    assert "0 runs in the statistics\n1 run left out" in bear("report", store).stdout


@pytest.mark.parametrize("table", ["campaigns", "variants", "tasks", "runs"])
def test_the_next_writer_says_what_it_cuts_off_and_the_run_remains_incomplete(
    store: Path, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = beside(store, table)
    path.write_bytes(path.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        store_run(store, "another")
    assert f"{path}: removed " in caplog.text
    assert "1 run in the statistics\n1 run left out" in bear("report", store).stdout


@pytest.mark.parametrize("length", [0, 1, 30])
def test_a_file_whose_maker_was_killed_before_it_had_its_header_has_no_rows(store: Path, length: int) -> None:
    path = beside(store, "tasks")
    path.write_bytes(path.read_bytes()[:length])
    assert "1 run left out" in bear("report", store).stdout
    store_run(store, "another")
    assert "1 run in the statistics\n1 run left out" in bear("report", store).stdout


def test_no_error_names_the_copy_that_a_csv_store_is_read_through(store: Path) -> None:
    path = beside(store, "tasks")
    path.write_bytes(path.read_bytes().replace(b"hey", b"\xff", 1))
    ended = bear("report", store)
    assert "copy.db" not in ended.stderr
    assert ended.stderr.startswith(f"taskgen: {path}: line 2: ")
