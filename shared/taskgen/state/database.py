"""What the state needs of a database; there is one for SQLite and one for PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Values = Sequence[Any]
"""Of a row: text, integers of any size, None."""


class Writer(Protocol):
    """An open transaction; `?` stands for a value in every statement."""

    def run(self, statement: str, *values: Any) -> int:
        """Execute one statement; returns how many rows it changed."""

    def many(self, statement: str, rows: Iterable[Values]) -> None:
        """Execute one statement for each row of values."""


class Database(Protocol):
    """Opened, with its tables made, when it is first used; used by one thread at a time.

    Everything raises `StoreUnavailableError` where trying again later may help, `StoreError` where not,
    and `CredentialsError` where the database refuses its user.
    """

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    def transaction(self) -> AbstractContextManager[Writer]:
        """Commit durably at the end, or undo everything on an error."""

    def close(self) -> None:
        """Let go of it; it is opened again when it is used again."""
