"""`taskgen run`: run all variants of task-sets on boards and store their events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from taskgen.boards.address import DEFAULT_PORT
from taskgen.boards.binaries import binaries_folder, check_binaries
from taskgen.boards.session import SESSION_DEFAULTS
from taskgen.cli.interruption import Interruption
from taskgen.cli.miss_counter import MissCounter
from taskgen.cli.progress import LOOK_EVERY_S, Snapshot, display
from taskgen.cli.summary import Summary
from taskgen.cli.terminal import progress_console, result_console
from taskgen.distributor import Distributor
from taskgen.errors import SettingsError
from taskgen.event import AbstractEventHandler
from taskgen.events.stores import open_handler, scheme_of
from taskgen.execution.engine import BoardStatus
from taskgen.loading.import_string import DEFAULT_SESSION, load_handler, load_session
from taskgen.loading.taskset_files import read_admission_control, read_tasksets
from taskgen.redaction import without_password
from taskgen.retry_policy import RetryOn, RetryPolicy
from taskgen.run import variant_text
from taskgen.taskset import TaskSet

_DEFAULT_SQLITE: Final = Path("events.db")
_FILES: Final = frozenset({"sqlite", "csv"})
"""Schemes of stores that are files."""


TaskSets = Annotated[
    list[str], typer.Argument(metavar="TASKSET", help="A .xml or .json file, MODULE:NAME, or a bundle, .zip.")
]
CampaignName = Annotated[str, typer.Option(metavar="NAME", help="Name of the campaign, for reports.")]
CampaignNote = Annotated[str, typer.Option(metavar="TEXT", help="Note to store with the campaign.")]
AdmissionControl = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON or XML file with the settings for admission control."),
]


def run(
    tasksets: TaskSets,
    *,
    board: Annotated[
        list[str],
        typer.Option(metavar="ADDRESS", help="HOST, HOST:PORT or a range. Can be repeated."),
    ],
    port: Annotated[
        int, typer.Option(metavar="N", help="Port of boards given without one.", min=1, max=65535)
    ] = DEFAULT_PORT,
    sqlite: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Store events in this SQLite database.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="PATH", help="Store events in this CSV file.")] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STORE",
            help="Store events in sqlite:PATH, csv:PATH or postgresql://... Can be repeated.",
        ),
    ] = None,
    handler: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:CLASS",
            help="Your event handler. The first one decides when a run ends. Can be repeated.",
        ),
    ] = None,
    binaries: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with the tasks' binaries.")
    ] = None,
    admission_control: AdmissionControl = None,
    name: CampaignName = "",
    note: CampaignNote = "",
    max_attempts: Annotated[
        int, typer.Option(metavar="N", help="Give up on a variant after N runs without a result.", min=1)
    ] = RetryPolicy().max_attempts,
    retry_on: Annotated[
        str,
        typer.Option(
            metavar="ENDS", help=f"Attempt a variant again if a run has one of {','.join(RetryOn)}."
        ),
    ] = "",
    run_timeout: Annotated[
        float | None, typer.Option(metavar="S", help="Stop a run after S seconds.", min=0.001)
    ] = None,
    silence_timeout: Annotated[
        float, typer.Option(metavar="S", help="Consider a board lost after S seconds of silence.", min=0.001)
    ] = SESSION_DEFAULTS.silence_timeout_s,
    answer_timeout: Annotated[
        float,
        typer.Option(
            metavar="S", help="Consider a board lost if it takes S seconds to answer a command.", min=0.001
        ),
    ] = SESSION_DEFAULTS.answer_timeout_s,
    power_cycle_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Power-cycle a board that stays lost; {host}, {port} and {board} are filled in.",
        ),
    ] = None,
    power_on_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND", help="Switch on a board that was never reachable; filled in the same way."
        ),
    ] = None,
    power_off_command: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Switch off each board at the end; filled in the same way."),
    ] = None,
    session: Annotated[
        str, typer.Option(metavar="MODULE:CLASS", help="Session class for another kind of target.")
    ] = DEFAULT_SESSION,
    fail_on_miss: Annotated[
        bool, typer.Option("--fail-on-miss", metavar="", help="Exit with 1 if a job missed its deadline.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print the summary as one JSON object.")
    ] = False,
) -> None:
    """Run variants of task-sets on boards and store every event.

    Exits with 0 if every variant has a result; with 1 if some failed or timed out, if a handler failed or,
    with --fail-on-miss, if a deadline was missed; with 2 after a usage error, without touching a board; and
    with 130 if interrupted.
    """
    read = [taskset for spec in tasksets for taskset in read_tasksets(spec)]
    for taskset in read:  # before a store creates its file
        check_binaries(taskset, binaries_folder(binaries))
    params = (read_admission_control(admission_control),) if admission_control else ()
    distributor = Distributor(
        board,
        port=port,
        binaries=binaries,
        max_attempts=max_attempts,
        retry_on=retry_on,
        run_timeout_s=run_timeout,
        silence_timeout_s=silence_timeout,
        answer_timeout_s=answer_timeout,
        power_cycle_command=power_cycle_command,
        power_on_command=power_on_command,
        power_off_command=power_off_command,
        session=load_session(session),
    )
    stores = [*([f"sqlite:{sqlite}"] if sqlite else []), *([f"csv:{csv}"] if csv else []), *(store or [])]
    if not (stores or handler):
        stores = [f"sqlite:{_DEFAULT_SQLITE}"]
        typer.echo(
            f"events go to {_DEFAULT_SQLITE}; choose with --sqlite, --csv, --store or --handler", err=True
        )
    _check_stores(stores)
    with Interruption() as interruption, _handlers(handler or [], stores) as handlers, distributor:
        distributor.event_handler = [*handlers, (misses := MissCounter())]
        summary = run_campaign(
            distributor,
            read,
            *params,
            name=name,
            note=note,
            misses=misses,
            fails_on_miss=fail_on_miss,
            stored={scheme_of(spec): _place_of(spec) for spec in stores},
            interruption=interruption,
        )
    if as_json:
        typer.echo(summary.json())
    else:
        summary.show(result_console())
    raise typer.Exit(summary.exit_code)


def _check_stores(specs: Sequence[str]) -> None:
    """Refuse two stores of a kind, and two in one file, before any file is created."""
    schemes = [scheme_of(spec) for spec in specs]
    if twice := [scheme for scheme in schemes if schemes.count(scheme) > 1]:
        raise SettingsError(f"{twice[0]} is given twice; give at most one store of each kind")
    files = [Path(spec.partition(":")[2]).resolve() for spec in specs if scheme_of(spec) in _FILES]
    if len(set(files)) < len(files):
        raise SettingsError(f"two stores use the same file, {files[0].name}; give two different paths")


def _place_of(spec: str) -> str:
    """Where a store is, without its scheme and without a password."""
    return spec.partition(":")[2] if scheme_of(spec) in _FILES else without_password(spec)


@contextmanager
def _handlers(own: list[str], stores: Sequence[str]) -> Iterator[list[AbstractEventHandler]]:
    """The user's handlers first, because the first one decides; then the stores, closed at the end."""
    handlers = [load_handler(spec) for spec in own]
    with ExitStack() as stack:
        handlers += [stack.enter_context(open_handler(spec)) for spec in stores]
        yield handlers


def count_variants(tasksets: Sequence[TaskSet]) -> int | None:
    """Number of variants of all task-sets; None if generators leave it unknown."""
    counts = [taskset.count_variants() for taskset in tasksets]
    return None if None in counts else sum(count or 0 for count in counts)


def run_campaign(
    distributor: Distributor,
    tasksets: Sequence[TaskSet],
    *session_params: Any,
    name: str = "",
    note: str = "",
    misses: MissCounter,
    fails_on_miss: bool = False,
    stored: dict[str, str],
    interruption: Interruption,
) -> Summary:
    """Run all variants, or stop when interrupted; everything is stored when this returns.

    Raises:
        TaskSetError: one cannot be run as it is; no board was touched.
    """
    began = time.monotonic()
    total = count_variants(tasksets)
    campaign = distributor.start(tasksets, *session_params, wait=False, name=name, note=note)
    is_stopping = False
    with display(progress_console()) as shown:
        while not distributor.wait_finished(LOOK_EVERY_S):
            if interruption.is_asked and not is_stopping:
                is_stopping = True
                distributor.stop(wait=False)
            now = Snapshot(
                tuple((board.name, board.state, _text(board)) for board in distributor.boards),
                done=campaign.results + len(campaign.failed),
                total=total,
                failed=len(campaign.failed),
                events=distributor.counters.events,
                misses=misses.total.misses,
                stopping=interruption.signal if is_stopping else None,
            )
            shown.show(now)
    return Summary(
        variants=total,
        outcomes={outcome.value: count for outcome, count in campaign.outcomes.items()},
        failed=list(campaign.failed),
        counters=distributor.counters,
        metrics=misses.total,
        fails_on_miss=fails_on_miss,
        handler_failures=distributor.handler_failures,
        stored=stored,
        seconds=round(time.monotonic() - began, 3),
        signal=interruption.signal,
    )


def _text(board: BoardStatus) -> str:
    """What a board is running, or why it is lost."""
    if board.run is None:
        return board.reason
    attempt = f", attempt {board.run.attempt}" if board.run.attempt > 1 else ""
    return variant_text(board.run.variant, board.run.parameters) + attempt
