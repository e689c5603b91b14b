"""Reads a CSV file with one record per line, and remembers where lines are."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from taskgen.boards.limits import MAX_FRAME_BYTES
from taskgen.errors import StoreError
from taskgen.events.csv_file import LINE_END, lines, translated
from taskgen.events.decoding import decoded

_T = TypeVar("_T")

_MAX_LINE: Final = 4 * MAX_FRAME_BYTES
"""A quote in a frame takes three bytes, being escaped for JSON and doubled for CSV."""
_BUFFER_BYTES: Final = 65536


class Line(NamedTuple):
    """A record and its place in the file."""

    place: int
    """Byte at which it begins."""
    number: int | None
    """Counted from 1; None if reading began in the middle."""
    data: bytes


class CsvRecords:
    """The records of a file without its header, up to its length when this was created."""

    def __init__(self, path: Path, columns: Sequence[str], length: int | None = None) -> None:
        """Check the header of the file.

        Args:
            path: the file; it may be growing.
            columns: the expected header.
            length: bytes that count at most; None: all.

        Raises:
            StoreError: it is another file, or cannot be read.
        """
        self.path = path
        header = lines([columns])
        with translated(path, StoreError), path.open("rb") as file:
            if file.read(len(header)) != header:
                raise StoreError(f"{path}: has a different header")
            size = os.fstat(file.fileno()).st_size
        self.length = size if length is None else min(size, length)
        self._columns = len(columns)
        self._begin = len(header)
        # For the whole process, as the module has it; a frame of a board can be larger than its default.
        csv.field_size_limit(_MAX_LINE)

    def read(self, decode: Callable[[Line, list[str]], _T]) -> Iterator[_T]:
        """Decode the records one by one, without an incomplete last one.

        Raises:
            StoreError: one is invalid; the error names its line.
        """
        return self.decoded(self.lines(), decode)

    def decoded(self, found: Iterator[Line], decode: Callable[[Line, list[str]], _T]) -> Iterator[_T]:
        """Decode some of the lines, like `read`."""
        return decoded(found, lambda line: decode(line, self._values(line)), self._where)

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[Line]:
        """The lines that begin from `start` to before `end`, without an incomplete last one."""
        end = self.length if end is None else min(end, self.length)
        number = 1 if start <= self._begin else None
        with translated(self.path, StoreError), self.path.open("rb", buffering=_BUFFER_BYTES) as file:
            place = max(start, self._begin)
            file.seek(place - 1)
            place += len(file.readline(_MAX_LINE)) - 1  # the rest of a line that began earlier
            while place < end:
                data = file.readline(_MAX_LINE)
                number = number and number + 1
                if not data.endswith(b"\n") and len(data) < _MAX_LINE:
                    return
                if place + len(data) > self.length:
                    return
                yield Line(place, number, data)
                place += len(data)

    def at(self, places: Iterable[int]) -> Iterator[Line]:
        """The lines that begin at these bytes."""
        with translated(self.path, StoreError), self.path.open("rb", buffering=_BUFFER_BYTES) as file:
            for place in places:
                file.seek(place)
                yield Line(place, None, file.readline(_MAX_LINE))

    def _values(self, line: Line) -> list[str]:
        if not line.data.endswith(LINE_END):
            raise ValueError("is not terminated like a line")
        text = line.data[: -len(LINE_END)].decode()
        values = next(csv.reader([text], strict=True), []) if '"' in text else text.split(",")
        if len(values) != self._columns:
            raise ValueError(f"{len(values)} values, not {self._columns}")
        return values

    def _where(self, line: Line) -> str:
        place = f"at byte {line.place}" if line.number is None else f"line {line.number}"
        return f"{self.path}: {place}"
