"""`taskgen bundle`: one zip file of a campaign, to be cited, checked and repeated."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from taskgen.bundle_file import sha256_of
from taskgen.cli.report import Campaign, Store
from taskgen.cli.terminal import counted, result_console, styled

if TYPE_CHECKING:
    from taskgen.results.bundle import Bundled

_SHOWN: Final = 10


def bundle(
    store: Store,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write: *.zip.")],
    *,
    campaign: Campaign = "",
    author: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Author, for citations. Can be repeated.")
    ] = None,
    license_: Annotated[
        str,
        typer.Option(
            "--license", metavar="LICENSE", help="Its SPDX identifier, such as CC-BY-4.0, or a URL of it."
        ),
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace FILE if it exists.")
    ] = False,
) -> None:
    """Write a campaign as one zip file that can be cited.

    It holds the task-sets, events, job metrics, reports, versions, and SHA-256 of the binaries, and is
    described as an RO-Crate. `taskgen verify FILE` checks it, `taskgen run FILE` repeats it.
    """
    from taskgen.results.bundle import write_bundle  # noqa: PLC0415 - takes half a second
    from taskgen.results.crate import About  # noqa: PLC0415 - as above
    from taskgen.results.dataset import open_dataset  # noqa: PLC0415 - as above

    with _terminated_like_ctrl_c(), open_dataset(store, campaign) as dataset:
        about = About(authors=author or (), license=license_)
        bundled = write_bundle(dataset, output, about, replaces=overwrite)
    _show(bundled, output, license_, result_console())


def _show(bundled: Bundled, path: Path, license_: str, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("wrote", f"{path}, {counted(bundled.files, 'file')}, {path.stat().st_size:,} bytes")
    incomplete = f", {len(bundled.incomplete):,} of them incomplete" if bundled.incomplete else ""
    table.add_row("runs", f"{bundled.runs:,}{incomplete}")
    table.add_row("events", f"{bundled.events:,}")
    table.add_row("jobs", f"{bundled.jobs:,}, {counted(bundled.misses, 'miss', 'misses')}")
    table.add_row("sha256", sha256_of(path))
    console.print(table)
    for run_id in bundled.incomplete[:_SHOWN]:
        console.print(styled(f"run {run_id} is incomplete, and marked so", "yellow"), soft_wrap=True)
    if len(bundled.incomplete) > _SHOWN:
        console.print(styled(f"and {len(bundled.incomplete) - _SHOWN:,} more", "yellow"))
    if not license_:
        typer.echo("without a license; give one with --license before you publish it", err=True)
    if bundled.left_out:
        typer.echo(f"without report.html: {bundled.left_out}", err=True)


@contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    """So that SIGTERM, too, leaves no temporary files."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
