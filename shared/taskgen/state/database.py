"""The database interface of the state; implemented for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Values = Sequence[Any]
"""The values of a row: text, integers of any size, None."""


class Writer(Protocol):
    """An open transaction; `?` is the placeholder for a value in every statement."""

    def run(self, statement: str, *values: Any) -> int:
        """Execute one statement and return the number of rows it changed."""

    def many(self, statement: str, rows: Iterable[Values]) -> None:
        """Execute one statement for each row of values."""


class Database(Protocol):
    """Opened, and its tables created, on first use; used by one thread at a time.

    All methods raise `StoreUnavailableError` where a later retry may succeed, `StoreError` where it
    cannot, and `CredentialsError` where the database refuses its user.
    """

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

    def transaction(self) -> AbstractContextManager[Writer]:
        """Commit durably at the end, or roll back on an error."""

    def close(self) -> None:
        """Close it; the next use opens it again."""
