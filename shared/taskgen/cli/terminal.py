"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
from typing import Final

from rich.console import Console

_FILE_WIDTH: Final = 200
"""Of tables in a pipe or file, which have no width of their own."""


def result_console() -> Console:
    """The console on stdout."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console


def progress_console() -> Console:
    """The console on stderr."""
    return Console(stderr=True, highlight=False)
