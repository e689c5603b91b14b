"""What holds for every store: the same tests for each of them."""

from pathlib import Path

import pytest

from taskgen.events.csv import CsvHandler
from taskgen.events.csv_parts import CsvPartsHandler, open_parts
from taskgen.events.csv_reader import CsvReader, Part
from taskgen.events.postgres import PostgresHandler, PostgresReader
from taskgen.events.sql import SqliteHandler, SqliteReader
from tests.contract.store_disk import FullDiskContract
from tests.contract.store_events import EventsContract
from tests.contract.store_runs import RunsContract
from tests.support.store_events import Store


class StoreContract(EventsContract, RunsContract):
    """The tests; a class below gives the store."""


class LocalStoreContract(StoreContract, FullDiskContract):
    """What holds besides for stores on this machine's disk."""


class TestSqlite(LocalStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        path = tmp_path / "events.db"
        SqliteHandler(path).close()
        return Store(lambda: SqliteHandler(path), lambda: SqliteReader(path))


class TestCsv(LocalStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        path = tmp_path / "events.csv"
        CsvHandler(path).close()
        return Store(lambda: CsvHandler(path), lambda: CsvReader("csv", Part(path)))


class TestCsvParts(LocalStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        CsvPartsHandler(tmp_path / "parts").close()
        return Store(lambda: CsvPartsHandler(tmp_path / "parts"), lambda: open_parts(tmp_path / "parts"))


class TestPostgres(StoreContract):
    @pytest.fixture
    def store(self, postgres_database: str) -> Store:
        PostgresHandler(postgres_database).close()
        return Store(lambda: PostgresHandler(postgres_database), lambda: PostgresReader(postgres_database))
