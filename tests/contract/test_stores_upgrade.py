"""Databases that version 1 made are upgraded in place, and have the metrics of the runs in them."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from taskgen.errors import StoreError
from taskgen.events.postgres import PostgresHandler, PostgresReader
from taskgen.events.readers import StoreReader
from taskgen.events.sql import SqliteHandler, SqliteReader
from taskgen.events.verify import compare

_MADE_BY_VERSION_1 = Path("tests/support/version_1.db")
"""Two runs of two tasks that ended, and one that did not; six events each."""
_TABLES_OF_VERSION_1 = Path("tests/support/version_1.sql")
_RUN_METRICS = "SELECT run_id, jobs, misses FROM run_metrics ORDER BY run_id"
_VIEW = "SELECT sql FROM sqlite_master WHERE name = 'campaign_metrics'"
_EXPECTED = [
    ("0190aaaa-0000-7000-8000-000000000000", 3, 1),
    ("0190aaaa-0000-7000-8000-000000000001", 3, 1),
]


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(_MADE_BY_VERSION_1, tmp_path / "events.db"))


@pytest.fixture
def old_database(postgres_database: str) -> str:
    with psycopg.connect(postgres_database) as new, closing(sqlite3.connect(_MADE_BY_VERSION_1)) as old:
        new.execute(_TABLES_OF_VERSION_1.read_text().encode())
        for table in ("runs", "tasks", "events"):
            rows = old.execute(f"SELECT * FROM {table}").fetchall()
            marks = ", ".join("%s" for _ in rows[0])
            new.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})".encode(), rows)
    return postgres_database


@pytest.mark.parametrize("how", [SqliteHandler, SqliteReader])
def test_a_file_is_upgraded_by_whoever_opens_it_first(old_file: Path, how: type) -> None:
    how(old_file).close()
    with closing(sqlite3.connect(old_file)) as connection:
        assert connection.execute(_RUN_METRICS).fetchall() == _EXPECTED
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    has_all_it_had(SqliteReader(old_file))


@pytest.mark.parametrize("how", [PostgresHandler, PostgresReader])
def test_a_database_is_upgraded_by_whoever_opens_it_first(old_database: str, how: type) -> None:
    how(old_database).close()
    with psycopg.connect(old_database) as connection:
        assert connection.execute(_RUN_METRICS.encode()).fetchall() == _EXPECTED
    has_all_it_had(PostgresReader(old_database))


def test_a_file_of_version_2_counts_the_jobs_of_results_only(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    SqliteHandler(path).close()
    with closing(sqlite3.connect(path)) as connection:
        new = connection.execute(_VIEW).fetchone()
        connection.execute("DROP VIEW campaign_metrics")
        connection.execute("CREATE VIEW campaign_metrics AS SELECT 1 AS jobs")
        connection.execute("PRAGMA user_version = 2")
    SqliteReader(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(_VIEW).fetchone() == new
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)


def test_a_database_of_version_2_counts_the_jobs_of_results_only(postgres_database: str) -> None:
    PostgresHandler(postgres_database).close()
    with psycopg.connect(postgres_database) as connection:
        connection.execute("DROP VIEW campaign_metrics")
        connection.execute("CREATE VIEW campaign_metrics AS SELECT 1 AS jobs")
        connection.execute("UPDATE taskgen_schema SET version = 2")
    PostgresReader(postgres_database).close()
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("SELECT skipped_releases FROM campaign_metrics").fetchall() == []


def has_all_it_had(reader: StoreReader) -> None:
    with closing(reader):
        result = compare([reader])
        assert (list(result.findings), list(result.events.values())) == ([], [12])  # of the runs that ended


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_says_what_to_do(old_file: Path) -> None:
    old_file.chmod(0o444)
    with pytest.raises(StoreError, match="copy it to a writable folder"):
        SqliteReader(old_file)
