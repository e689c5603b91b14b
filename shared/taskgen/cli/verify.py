"""`taskgen verify`: whether stores hold every event exactly once and agree, or a bundle is unchanged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from taskgen.bundle_file import is_bundle
from taskgen.cli.terminal import counted, progress_console, result_console, styled
from taskgen.errors import SettingsError
from taskgen.events.verify import Report, Say
from taskgen.events.verify import verify as compare_stores
from taskgen.untrusted_text import printable

if TYPE_CHECKING:
    from taskgen.results.verify_bundle import BundleReport

_PLAIN_EVERY_S: Final = 5.0


def verify(
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE...", help="sqlite:PATH, csv:DIR or postgresql://..., or one bundle, FILE.zip."
        ),
    ],
) -> None:
    """Check that stores, or a bundle, are complete and unchanged.

    Stores: every ended run has each of its events exactly once, and the stores agree. A bundle: each file has
    its SHA-256, every run is complete, and job metrics and task-sets follow from its events and tasks.

    Exits with 0 if so; with 1 if something is missing, duplicate or different; with 2 after a usage error,
    or if a store or a bundle is damaged beyond reading.
    """
    if any(map(is_bundle, stores)):
        _verify_bundle(stores)
    with _progress(progress_console()) as say:
        report = compare_stores(stores, say)
    _show(report, result_console())
    raise typer.Exit(0 if report.is_clean else 1)


def _verify_bundle(paths: list[str]) -> NoReturn:
    from taskgen.results.verify_bundle import verify_bundle  # noqa: PLC0415 - takes half a second

    if len(paths) > 1:
        raise SettingsError("give one bundle alone")
    with _progress(progress_console()) as say:
        report = verify_bundle(Path(paths[0]), say)
    _show_bundle(report, result_console())
    raise typer.Exit(0 if report.is_clean else 1)


def _show_bundle(report: BundleReport, console: Console) -> None:
    table = _table()
    table.add_row("bundle", report.name)
    table.add_row("sha256", report.sha256)
    table.add_row("files", f"{report.files:,} listed" if report.changed else f"{report.files:,}, unchanged")
    if not report.changed:
        incomplete = f", {report.incomplete:,} of them incomplete" if report.incomplete else ""
        table.add_row("runs", f"{report.runs:,}{incomplete}")
        table.add_row("events", f"{report.event_count:,}")
        table.add_row("jobs", f"{report.jobs:,}" + ("" if report.derived else ", as derived from the events"))
    console.print(table)
    for line in (*report.changed, *report.derived):
        console.print(styled(line, "red"), soft_wrap=True)
    _show_findings(report.events, console)
    if report.changed:
        console.print("therefore nothing else was checked")
    _show_verdict(report.found, console)


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _show(report: Report, console: Console) -> None:
    table = _table()
    not_ended = f", {report.not_ended:,} skipped because they have not ended" if report.not_ended else ""
    table.add_row("runs", f"{report.ended:,} checked{not_ended}")
    for store, events in report.events.items():
        table.add_row("events", f"{events:,} in {store}")
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", soft_wrap=True)
    _show_findings(report, console)
    _show_verdict(report.found, console)


def _show_findings(report: Report, console: Console) -> None:
    for finding in report.findings:
        console.print(styled(finding, "red"), soft_wrap=True)
    if report.found > len(report.findings):
        console.print(styled(f"and {report.found - len(report.findings):,} more", "red"))


def _show_verdict(found: int, console: Console) -> None:
    console.print(styled(counted(found, "problem"), "red") if found else styled("clean", "green"))


@contextmanager
def _progress(console: Console) -> Iterator[Say]:
    """Show progress: one line that changes on a terminal, otherwise a line now and then."""
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
