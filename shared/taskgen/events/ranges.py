"""Sets of mostly consecutive numbers, kept as ranges, such as the stored events of a run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

_KEPT_SPANS: Final = 50


class Ranges:
    """Numbers as sorted ranges that do not touch; iterates over (first, end), `end` excluded.

    Adding numbers in their order takes constant time, whatever their count.
    """

    __slots__ = ("_ends", "_firsts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        for first, end in ranges:
            self._firsts.append(first)
            self._ends.append(end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._ends, strict=True)

    @property
    def first(self) -> int:
        """The smallest number."""
        return self._firsts[0]

    @property
    def end(self) -> int:
        """One more than the largest number."""
        return self._ends[-1]

    def add_all(self, first: int, end: int) -> bool:
        """Add the numbers from `first` up to `end`, if none of them is present; returns whether it did."""
        at = bisect_right(self._firsts, first)
        if (at and first < self._ends[at - 1]) or (at < len(self._firsts) and self._firsts[at] < end):
            return False
        if first == end:
            return True
        if at and self._ends[at - 1] == first:
            at -= 1
            self._ends[at] = end
        else:
            self._firsts.insert(at, first)
            self._ends.insert(at, end)
        if at + 1 < len(self._firsts) and self._firsts[at + 1] == end:
            self._ends[at] = self._ends.pop(at + 1)
            del self._firsts[at + 1]
        return True

    def add(self, number: int) -> bool:
        """Add a number; returns whether it is new."""
        at = bisect_right(self._firsts, number)
        if at and number < self._ends[at - 1]:
            return False
        follows = at > 0 and self._ends[at - 1] == number
        precedes = at < len(self._firsts) and self._firsts[at] == number + 1
        if follows and precedes:
            self._ends[at - 1] = self._ends.pop(at)
            del self._firsts[at]
        elif follows:
            self._ends[at - 1] += 1
        elif precedes:
            self._firsts[at] = number
        else:
            self._firsts.insert(at, number)
            self._ends.insert(at, number + 1)
        return True


class Spans:
    """Counts increasing numbers and keeps their first ranges, in constant memory."""

    __slots__ = ("count", "kept")

    def __init__(self) -> None:
        self.count = 0
        """Count of the numbers."""
        self.kept: list[tuple[int, int]] = []
        """The first ranges, as (first, last)."""

    def add(self, first: int, last: int) -> None:
        """Add the numbers from `first` to `last`, which are larger than all before."""
        self.count += last - first + 1
        if self.kept and first == self.kept[-1][1] + 1:
            self.kept[-1] = (self.kept[-1][0], last)
        elif len(self.kept) < _KEPT_SPANS:
            self.kept.append((first, last))
