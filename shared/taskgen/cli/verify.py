"""`taskgen verify`: whether stores hold every event exactly once, and agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from taskgen.cli.terminal import progress_console, result_console, styled
from taskgen.events.verify import Report, Say
from taskgen.events.verify import verify as compare_stores
from taskgen.untrusted_text import printable

_PLAIN_EVERY_S: Final = 5.0


def verify(
    stores: Annotated[
        list[str], typer.Argument(metavar="STORE...", help="sqlite:PATH, csv:DIR or postgresql://...")
    ],
) -> None:
    """Check that stores have every event exactly once, and agree.

    Exits with 0 if so; with 1 if events are missing, double or different; and with 2 after a usage error,
    or if a store is damaged.
    """
    with _progress(progress_console()) as say:
        report = compare_stores(stores, say)
    _show(report, result_console())
    raise typer.Exit(0 if report.is_clean else 1)


def _show(report: Report, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    not_ended = f", {report.not_ended:,} not ended and passed over" if report.not_ended else ""
    table.add_row("runs", f"{report.ended:,} looked at{not_ended}")
    for store, events in report.events.items():
        table.add_row("events", f"{events:,} in {store}")
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", soft_wrap=True)
    for finding in report.findings:
        console.print(styled(finding, "red"), soft_wrap=True)
    if report.found > len(report.findings):
        console.print(styled(f"and {report.found - len(report.findings):,} more", "red"))
    is_clean = report.is_clean
    console.print(
        styled("clean", "green") if is_clean else styled(f"{report.found:,} found to be wrong", "red")
    )


@contextmanager
def _progress(console: Console) -> Iterator[Say]:
    """One line that changes on a terminal, elsewhere a line now and then."""
    if console.is_terminal:
        with console.status("") as status:
            yield lambda text: status.update(printable(text))
        return
    due = time.monotonic() + _PLAIN_EVERY_S

    def say(text: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _PLAIN_EVERY_S
            console.print(text, soft_wrap=True)

    yield say
