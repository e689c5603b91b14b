"""`taskgen demo`: a campaign on simulated boards, from nothing to stored events in a few seconds."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from taskgen.cli.interruption import Interruption
from taskgen.cli.miss_counter import MissCounter
from taskgen.cli.run import run_campaign
from taskgen.cli.show import SHORT_ID
from taskgen.cli.summary import Summary
from taskgen.cli.terminal import counted, result_console
from taskgen.distributor import Distributor
from taskgen.errors import SettingsError
from taskgen.events.csv import CsvHandler
from taskgen.events.sql import SqliteHandler, SqliteReader
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import printable

_SPEED: Final = 3.0
_QUERY: Final = "SELECT pkg, exit_type, count(*) FROM jobs JOIN tasks USING (run_id, task_id) GROUP BY 1, 2"
_PLACEHOLDER: Final = b"a placeholder: simulated boards know how long a task of this name runs\n"


def demo(
    boards: Annotated[
        int, typer.Option(metavar="N", help="Number of simulated boards.", min=1, max=1000)
    ] = 4,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; created if missing.")
    ] = Path("demo"),
) -> None:
    """Run variants of a task-set on simulated boards.

    Needs no hardware and no settings.
    """
    taskset, folder = _control_loop(), _folder(out)
    count = taskset.count_variants()
    on = counted(boards, "simulated board")
    typer.echo(f"{count} variants of a task-set on {on}; events go to {printable(out)}/", err=True)
    summary = _simulate(taskset, boards, folder)
    summary.show(result_console())
    _suggest(out / "events.db")
    raise typer.Exit(summary.exit_code)


def _control_loop() -> TaskSet:
    """A control loop: 18 variants, some of which miss their critical time or overrun their period."""
    sensor = Task(pkg="hey", priority=10, period=50, numberofjobs=20, executiontime=2)
    control = Task(
        pkg="cond_mod", priority=20, period=100, numberofjobs=10, criticaltime=80, executiontime=30
    )
    control["config"] = {"arg1": [20, 60, 90]}
    logging = Task(pkg="tumatmul", priority=[5, 30], period=200, numberofjobs=5, offset=20, executiontime=50)
    logging["config"] = {"arg1": [40, 80, 190]}
    taskset = TaskSet([sensor, control, logging])
    taskset.source = "demo"
    return taskset


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out: cannot create {out}: {error.strerror}; choose another folder") from error
    return out


def _simulate(taskset: TaskSet, boards: int, out: Path) -> Summary:
    sqlite, csv = out / "events.db", out / "events.csv"
    with (
        Interruption() as interruption,
        run_boards(boards, speed=_SPEED) as addresses,
        _binaries(taskset) as binaries,
        SqliteHandler(sqlite) as deciding,
        CsvHandler(csv) as watching,
        Distributor(addresses, binaries=binaries) as distributor,
    ):
        misses = MissCounter()
        distributor.event_handler = [deciding, watching, misses]
        stored = {"sqlite": str(sqlite), "csv": str(csv)}
        return run_campaign(
            distributor, [taskset], name="demo", misses=misses, stored=stored, interruption=interruption
        )


@contextmanager
def _binaries(taskset: TaskSet) -> Iterator[Path]:
    """A folder of files to send, so that the demo uses the whole protocol."""
    with tempfile.TemporaryDirectory(prefix="taskgen-") as folder:
        for name in taskset.binaries():
            (Path(folder) / name).write_bytes(_PLACEHOLDER)
        yield Path(folder)


def _suggest(database: Path) -> None:
    with closing(SqliteReader(database)) as reader:
        latest = [run.run_id[-SHORT_ID:] for run in reader.last_runs(1)]
    typer.echo("\nnext, try:")
    shown = printable(database)
    typer.echo(f"  {_command()} show {shown}")
    for run_id in latest:
        typer.echo(f"  {_command()} show {shown} --run {run_id}")
    typer.echo(f"  sqlite3 {shown} '{_QUERY}'")


def _command() -> str:
    """How the user can call this command in this shell."""
    if shutil.which("taskgen"):
        return "taskgen"
    program = os.path.relpath(sys.argv[0])
    return "python -m taskgen" if program.endswith("__main__.py") else program
