"""Decides after a run without a result whether there is another attempt, and on which board."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Self

from taskgen.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task-set, with the history of the attempts before it."""

    number: int = 1
    tried: tuple[str, ...] = ()
    """The boards of earlier attempts."""
    reasons: tuple[str, ...] = ()
    """Why each earlier attempt had no result."""

    def next(self, board: str, reason: str) -> Self:
        """Return the attempt after this one, which had no result on `board`."""
        return type(self)(
            self.number + 1,
            self.tried if board in self.tried else (*self.tried, board),
            (*self.reasons, f"attempt {self.number} on {board}: {reason}"),
        )

    def prefers(self, board: str) -> bool:
        """Whether no attempt has been lost on this board yet."""
        return board not in self.tried

    def accepts(self, board: str, has_others: Callable[[Collection[str]], bool]) -> bool:
        """Whether to run on this board now: one that was already tried is used only if there is no other.

        Args:
            board: the board that is free.
            has_others: whether a board is available besides those given.
        """
        return self.prefers(board) or not has_others(self.tried)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a task-set is attempted before it has failed.

    Raises:
        SettingsError: `max_attempts` is not a whole number of 1 or more.
    """

    max_attempts: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            raise SettingsError(
                f"max_attempts has to be a whole number of 1 or more, not {self.max_attempts!r}"
            )

    def allows(self, attempt: Attempt) -> bool:
        """Whether this attempt may be made."""
        return attempt.number <= self.max_attempts
