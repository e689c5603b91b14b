"""Output of the command line: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from taskgen.untrusted_text import printable

_FILE_WIDTH: Final = 200
"""Columns of a table in a pipe or file, which has no width of its own."""


class PlainConsole(Console):
    """Prints strings as they are: nothing in them acts as an escape sequence, markup or emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a string; Rich calls this for everything that it prints."""
        return super().render_str(printable(text), **options)


def styled(text: object, style: str) -> Text:
    """Text from outside, in a style."""
    return Text(printable(text), style)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 event`, `2,000 events`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def result_console() -> PlainConsole:
    """The console on stdout."""
    console = PlainConsole()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console


def progress_console() -> PlainConsole:
    """The console on stderr."""
    return PlainConsole(stderr=True)
