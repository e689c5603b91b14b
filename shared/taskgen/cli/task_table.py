"""A table of tasks in the terminal, with variants whose names are as long as they like."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from taskgen.cli.terminal import styled
from taskgen.untrusted_text import printable

_GAP = "  "


def print_tasks(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a line for each task.

    A variant is named once: left of its first task, or on a line of its own where that is too wide.

    Args:
        console: to print to.
        head: names of the columns; the first two are those of variant and task.
        rows: with as many cells; those of one variant follow one another.
    """
    plain = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *plain, strict=True)]
    is_beside = sum(widths) + len(_GAP) * (len(widths) - 1) <= console.width
    _print(console, styled(_line(head, widths, is_beside=is_beside), "bold"))
    before = None
    for row in plain:
        variant, before = "" if row[0] == before else row[0], row[0]
        if variant and not is_beside:
            console.print(variant)
        _print(console, Text(_line([variant, *row[1:]], widths, is_beside=is_beside)))


def _line(cells: Sequence[str], widths: Sequence[int], *, is_beside: bool) -> str:
    texts = [cell.ljust(width) for cell, width in zip(cells[:2], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    first = texts[0] if is_beside else ""
    return f"{first}{_GAP}{_GAP.join([texts[1], *numbers])}".rstrip()


def _print(console: Console, line: Text) -> None:
    """Lines that are still too long go on in the next one."""
    console.print(line, overflow="fold")
