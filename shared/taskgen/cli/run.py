"""`taskgen run`: all variants of task-sets on boards, their events stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from taskgen.boards.binaries import binaries_folder, check_binaries
from taskgen.boards.protocol import DEFAULT_PORT
from taskgen.boards.session import SESSION_DEFAULTS
from taskgen.cli.campaigns import run_campaign
from taskgen.cli.interruption import Interruption
from taskgen.cli.terminal import result_console
from taskgen.distributor import Distributor
from taskgen.errors import SettingsError
from taskgen.event import AbstractEventHandler
from taskgen.events.csv import CsvHandler
from taskgen.events.sql import SqliteHandler
from taskgen.loading.handler_loader import load_handler
from taskgen.loading.session_loader import DEFAULT_SESSION, load_session
from taskgen.loading.taskset_files import read_admission_control, read_taskset
from taskgen.retry_policy import RetryPolicy
from taskgen.untrusted_text import printable

_DEFAULT_SQLITE: Final = Path("events.db")


def run(
    tasksets: Annotated[
        list[str], typer.Argument(metavar="TASKSET...", help="A .xml or .json file, or MODULE:NAME.")
    ],
    *,
    board: Annotated[
        list[str],
        typer.Option(metavar="ADDRESS", help="HOST, HOST:PORT or a range; may be given several times."),
    ],
    port: Annotated[
        int, typer.Option(metavar="N", help="Of boards given without one.", min=1, max=65535)
    ] = DEFAULT_PORT,
    sqlite: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Store in this SQLite database.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="PATH", help="Store in this CSV file.")] = None,
    handler: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:CLASS", help="Your own; the first decides when a run is over."),
    ] = None,
    binaries: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the tasks' binaries.")
    ] = None,
    admission_control: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON or XML of the admission control's data.")
    ] = None,
    max_attempts: Annotated[
        int, typer.Option(metavar="N", help="So many boards may be lost under a variant.", min=1)
    ] = RetryPolicy().max_attempts,
    run_timeout: Annotated[
        float | None, typer.Option(metavar="S", help="Seconds that a whole run may take.", min=0.001)
    ] = None,
    silence_timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds of silence after which a board is lost.", min=0.001)
    ] = SESSION_DEFAULTS.silence_timeout_s,
    answer_timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds that a board may take to answer a command.", min=0.001)
    ] = SESSION_DEFAULTS.answer_timeout_s,
    power_cycle_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND", help="Run for a board that stays lost; knows {host}, {port}, {board}."
        ),
    ] = None,
    power_on_command: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="The same for a board that was never there.")
    ] = None,
    session: Annotated[
        str, typer.Option(metavar="MODULE:CLASS", help="The session class for another kind of target.")
    ] = DEFAULT_SESSION,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object.")] = False,
) -> None:
    """Run all variants of task-sets on whichever board is free, and keep every event.

    Exit code: 0 every variant has a result; 1 some are bad, timed out or
    not stored; 2 wrong use; 130 interrupted.
    """
    read = [read_taskset(spec) for spec in tasksets]
    for taskset in read:  # before a store makes its file
        check_binaries(taskset, binaries_folder(binaries))
    params = (read_admission_control(admission_control),) if admission_control else ()
    distributor = Distributor(
        board,
        port=port,
        binaries=binaries,
        max_attempts=max_attempts,
        run_timeout_s=run_timeout,
        silence_timeout_s=silence_timeout,
        answer_timeout_s=answer_timeout,
        power_cycle_command=power_cycle_command,
        power_on_command=power_on_command,
        session=load_session(session),
    )
    if not (sqlite or csv or handler):
        sqlite = _DEFAULT_SQLITE
        typer.echo(f"events go to {printable(sqlite)}; --sqlite, --csv or --handler say otherwise", err=True)
    if sqlite and csv and sqlite.resolve() == csv.resolve():
        raise SettingsError(f"--sqlite and --csv name the same file, {sqlite}; give two different paths")
    with Interruption() as interruption, _handlers(handler or [], sqlite, csv) as handlers, distributor:
        distributor.event_handler = handlers
        stored = {"sqlite": sqlite, "csv": csv}
        summary = run_campaign(
            distributor,
            read,
            *params,
            stored={kind: str(path) for kind, path in stored.items() if path},
            interruption=interruption,
        )
    if as_json:
        typer.echo(summary.json())
    else:
        summary.show(result_console())
    raise typer.Exit(summary.exit_code)


@contextmanager
def _handlers(own: list[str], sqlite: Path | None, csv: Path | None) -> Iterator[list[AbstractEventHandler]]:
    """The user's own handlers first, for the first decides; then the stores, which are closed in the end."""
    handlers = [load_handler(spec) for spec in own]
    stores: list[tuple[Any, Path | None]] = [(SqliteHandler, sqlite), (CsvHandler, csv)]
    with ExitStack() as stack:
        handlers += [stack.enter_context(store(path)) for store, path in stores if path]
        yield handlers
