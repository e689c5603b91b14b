"""The kinds of sinks, each with a store of the test's own; test classes mix them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgen.events.verify import verify
from tests.support.waiting import wait_until


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


def wait_until_stored(ended: int, *specs: str, within_s: float = 60) -> None:
    """Wait until that many runs have ended in the stores, which then are complete and agree."""

    def is_stored() -> bool:
        report = verify(specs)
        return report.is_clean and (report.ended, report.not_ended) == (ended, 0)

    wait_until(is_stored, within_s, f"{ended} runs, whole, in {specs}")
