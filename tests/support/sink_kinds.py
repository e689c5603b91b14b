"""The kinds of sinks there are, each with a store of the test's own; test classes mix them in."""

from __future__ import annotations

from pathlib import Path

import pytest


class SqliteKind:
    """`place` is the variable that says where the store is, `spec` the store as `verify` takes it."""

    name = "sqlite"

    @pytest.fixture
    def place(self, tmp_path: Path) -> dict[str, object]:
        return {"sqlite_path": tmp_path / "events.db"}

    @pytest.fixture
    def spec(self, place: dict[str, object]) -> str:
        return f"sqlite:{place['sqlite_path']}"


class CsvKind:
    name = "csv"

    @pytest.fixture
    def place(self, tmp_path: Path) -> dict[str, object]:
        return {"csv_dir": tmp_path / "events"}

    @pytest.fixture
    def spec(self, place: dict[str, object]) -> str:
        return f"csv:{place['csv_dir']}"


class PostgresKind:
    name = "postgres"

    @pytest.fixture
    def place(self, postgres_database: str) -> dict[str, object]:
        return {"postgres_dsn": postgres_database}

    @pytest.fixture
    def spec(self, place: dict[str, object]) -> str:
        return str(place["postgres_dsn"])
