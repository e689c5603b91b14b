"""What holds for SQLite files alone."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import taskgen.csv
import taskgen.events.csv
import taskgen.sql
from taskgen.errors import StoreError, StoreUnavailableError
from taskgen.events.sql import SqliteHandler, read_events, read_jobs, read_runs, read_tasks
from taskgen.taskset import TaskSet
from tests.support.profiles import event
from tests.support.store_events import end_run, give, run_id, taskset


def test_a_file_that_is_another_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE events (mine)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another database"):
        SqliteHandler(path)
    assert path.read_bytes() == before


def test_a_file_that_is_not_a_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 1000)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        SqliteHandler(path)
    assert path.read_text() == "remember the milk\n" * 1000


def test_a_file_of_a_newer_version_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    SqliteHandler(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="upgrade taskgen"):
        SqliteHandler(path)
    with pytest.raises(StoreError, match="upgrade taskgen"):
        read_runs(path)


@pytest.mark.parametrize(
    ("path", "words"), [("missing/events.db", "there is no folder"), (".", "is a folder")]
)
def test_an_impossible_path_is_an_error_at_once(tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        SqliteHandler(tmp_path / path)
    assert "\n" not in str(caught.value)


def test_reading_creates_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        read_runs(tmp_path / "events.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="empty"):
        read_runs(tmp_path / "empty.db")
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"]


def test_a_locked_file_keeps_the_batch_for_a_retry(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    tasks = taskset()
    with SqliteHandler(path, busy_timeout_s=0.05) as handler:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="locked"):
                give(handler, tasks, 0, event("X", 0, 1))
        assert list(read_events(path, run_id(tasks))) == []
        handler.commit()
        assert len(list(read_events(path, run_id(tasks)))) == 1


def test_a_handler_is_created_in_one_thread_and_used_in_another(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    tasks = taskset()
    handler = SqliteHandler(path)
    thread = threading.Thread(target=give, args=(handler, tasks, 0, event("X", 0, 1)))
    thread.start()
    thread.join()
    handler.close()
    assert len(list(read_events(path, run_id(tasks)))) == 1


def test_handlers_that_start_at_the_same_moment_create_the_tables_once(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"{number}.db"
        tasks = taskset()
        ready = threading.Barrier(6)

        def start(path: Path = path, tasks: TaskSet = tasks, ready: threading.Barrier = ready) -> None:
            ready.wait(timeout=30)
            with SqliteHandler(path) as handler:
                handler.__taskset_start__(tasks)

        with ThreadPoolExecutor(6) as pool:
            for started in [pool.submit(start) for _ in range(6)]:
                started.result()
        assert [run.run_id for run in read_runs(path)] == [run_id(tasks)]


def test_time_stamps_are_integers_wherever_sqlite_can_hold_them(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    tasks = taskset()
    with SqliteHandler(path) as handler:
        give(handler, tasks, 0, *(event("X", 0, time) for time in (0, 2**63 - 1, 2**63, 2**64 - 1)))
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT time_stamp, typeof(time_stamp) FROM events ORDER BY seq"
        ).fetchall()
    assert found == [
        (0, "integer"),
        (2**63 - 1, "integer"),
        (str(2**63), "text"),
        (str(2**64 - 1), "text"),
    ]


def test_every_commit_is_on_the_disk_and_readers_do_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with SqliteHandler(path) as handler, closing(sqlite3.connect(path)) as connection:
        assert handler._file.connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_reading_functions_return_the_stored_data(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    tasks = taskset()
    with SqliteHandler(str(path)) as handler:
        handler.__taskset_start__(tasks)
        give(handler, tasks, 0, event("START", 1, 5), event("EXIT", 1, 9))
        end_run(handler, tasks, 2)
    assert [(run.run_id, run.events) for run in read_runs(path)] == [(run_id(tasks), 2)]
    assert [row.event() for row in read_events(path, run_id(tasks))] == [
        event("START", 1, 5),
        event("EXIT", 1, 9),
    ]
    assert [job.response_ms for job in read_jobs(path, run_id(tasks))] == [4]
    assert [task["pkg"] for task in read_tasks(path, run_id(tasks))] == ["hey", "pi"]
    assert list(read_events(path, "no such run")) == []


def test_both_import_paths_of_the_users_document_give_the_same_class() -> None:
    assert taskgen.sql.SqliteHandler is SqliteHandler
    assert taskgen.csv.CsvHandler is taskgen.events.csv.CsvHandler
