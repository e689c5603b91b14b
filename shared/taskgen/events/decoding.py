"""Decodes rows of a store; an invalid row raises a `StoreError` that names file and row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from reprlib import Repr
from typing import Any, Final, TypeVar

from taskgen.errors import StoreError

_Row = TypeVar("_Row")
_Meaning = TypeVar("_Meaning")

_MEANINGLESS: Final = (ValueError, TypeError, ArithmeticError, RecursionError, csv.Error)
"""Errors raised by decoding, including base64, JSON, UTF-8, and NaN as a number."""
_SHOWN: Final = Repr()
_SHOWN.maxstring = _SHOWN.maxother = 60
_LARGEST: Final = 2**64 - 1
_LONGEST: Final = len(str(-_LARGEST))


def decoded(
    rows: Iterable[_Row], decode: Callable[[_Row], _Meaning], where: Callable[[_Row], str]
) -> Iterator[_Meaning]:
    """Decode rows, one by one.

    Args:
        rows: as the store has them.
        decode: what a row means; may raise whatever Python raises for values of a wrong type or form.
        where: names file and row.

    Raises:
        StoreError: a row is invalid.
    """
    for row in rows:
        try:
            meaning = decode(row)
        except _MEANINGLESS as error:
            raise StoreError(
                f"{where(row)}: damaged, or changed by another program: {error or type(error).__name__}"
            ) from error
        yield meaning


def shown(value: object) -> str:
    """A value of a damaged row, made printable and short."""
    return _SHOWN.repr(value)


def text(name: str, value: object) -> str:
    """The value of a column that holds text.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} is {shown(value)}, not text")
    return value


def number(name: str, value: object) -> int:
    """The value of a column that holds a whole number, also one that is written as text.

    Raises:
        ValueError: it is none, or has more than 64 bits.
    """
    if isinstance(value, str) and len(value) <= _LONGEST and value.removeprefix("-").isdecimal():
        value = int(value)
    if isinstance(value, int) and -_LARGEST <= value <= _LARGEST:
        return value
    raise ValueError(f"{name} is {shown(value)}, not a whole number")


def or_none(kind: Callable[[str, object], Any], name: str, value: object) -> Any:  # noqa: ANN401 - as `kind` gives
    """The value of a column that may be empty."""
    return None if value is None else kind(name, value)
