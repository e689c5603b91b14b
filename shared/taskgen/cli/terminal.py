"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from taskgen.untrusted_text import printable

_FILE_WIDTH: Final = 200
"""Of tables in a pipe or file, which have no width of their own."""


class PlainConsole(Console):
    """Takes every string for a line of text from outside: nothing in it acts, or is markup or an emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed, or stands in a table, comes here."""
        return super().render_str(printable(text), **options)


def styled(text: object, style: str) -> Text:
    """A text from outside, in a style."""
    return Text(printable(text), style)


def result_console() -> PlainConsole:
    """The console on stdout."""
    console = PlainConsole()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console


def progress_console() -> PlainConsole:
    """The console on stderr."""
    return PlainConsole(stderr=True)
