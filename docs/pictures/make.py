"""Makes the pictures beside this file from real runs on simulated boards: `make pictures`."""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from taskgen.sql import read_jobs, read_runs

HERE: Final = Path(__file__).parent
EXAMPLES: Final = HERE.parents[1] / "examples"
COLUMNS: Final = 106
FONTS: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
"""Of the reader's own machine: Rich would fetch one from a CDN."""

BOARDS: Final = "taskgen board --speed 8 --listen 127.0.10.0/28 --count 13"
FAILING_BOARD: Final = "taskgen board --speed 8 --listen 127.0.10.14"
LIVE: Final = "taskgen run examples.control_loop:sweep --board 127.0.10.0/28 --sqlite events.db"
FAILS_AFTER_RUNS: Final = 150
SHOWN_AFTER_RUNS: Final = 160
"""Of the 384 variants of this task-set."""
RESULT: Final = "taskgen show demo/events.db --last 14 --run"
REPORT: Final = "taskgen report demo/events.db --where task2.config.arg1=80"


def main(pictures: Path = HERE) -> None:
    """Make all pictures, in this folder."""
    with tempfile.TemporaryDirectory(prefix="taskgen-pictures-") as name:
        folder = Path(name)
        (folder / "examples").symlink_to(EXAMPLES)
        live(folder, pictures / "live.svg")
        result(folder, pictures / "result.svg")
        report(folder, pictures / "report.svg")


def live(folder: Path, picture: Path) -> None:
    """A campaign during which one of the boards is switched off."""
    database = folder / "events.db"

    def is_worth_showing() -> bool:
        runs = _ended_runs(database)
        if runs >= FAILS_AFTER_RUNS:
            failing.kill()
        return runs >= SHOWN_AFTER_RUNS

    with simulated_boards(BOARDS, folder) as others, simulated_boards(FAILING_BOARD, folder) as failing:
        wait_until_listening(others, failing)
        draw(LIVE, run(LIVE, folder, until=is_worth_showing), picture)


def result(folder: Path, picture: Path) -> None:
    """The jobs of one run of the demo."""
    run("taskgen demo", folder)
    command = f"{RESULT} {_most_eventful(folder / 'demo' / 'events.db')[-8:]}"
    draw(command, run(command, folder), picture)


def report(folder: Path, picture: Path) -> None:
    """The response times and misses of half of the demo's variants."""
    draw(REPORT, run(REPORT, folder), picture)


@contextmanager
def simulated_boards(command: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Boards, until the context is left; they listen when they print their first line."""
    with subprocess.Popen(_arguments(command), cwd=folder, stdout=subprocess.PIPE, text=True) as boards:
        try:
            yield boards
        finally:
            boards.terminate()


def wait_until_listening(*processes: subprocess.Popen[str]) -> None:
    """Wait for each to print a line."""
    for process in processes:
        if process.stdout is not None:
            process.stdout.readline()


def run(command: str, folder: Path, until: Callable[[], bool] = lambda: False) -> list[str]:
    """Run a command in a terminal; the lines that this shows at the end, or as soon as `until` is true.

    Raises:
        subprocess.CalledProcessError: the command has failed by itself.
    """
    ours, its = pty.openpty()
    terminal = {"COLUMNS": str(COLUMNS), "LINES": "60", "TERM": "xterm-256color", "NO_COLOR": ""}
    with subprocess.Popen(
        _arguments(command), cwd=folder, env=os.environ | terminal, stdin=its, stdout=its, stderr=its
    ) as process:
        os.close(its)
        screen, is_enough = b"", False
        for output in _read(ours):
            screen += output
            is_enough = until()
            if is_enough:
                process.send_signal(signal.SIGINT)
                break
        for _ in _read(ours):
            pass
    os.close(ours)
    if process.returncode and not is_enough:
        raise subprocess.CalledProcessError(process.returncode, command, screen)
    return shown(screen.decode())


def shown(output: str) -> list[str]:
    """The lines of a terminal after this output, as far as Rich moves in it; colours are left as they are."""
    lines, row = [""], 0
    for part in re.split(r"(\r?\n|\r|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh])", output):
        if part.endswith("\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part != "\r" and not part.startswith("\x1b[?"):
            lines[row] += part
    return "\n".join(lines).rstrip().split("\n")


def draw(command: str, lines: list[str], path: Path) -> None:
    """Draw a terminal in which a command was typed."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    console.print(f"[bold green]$[/] [bold]{command}[/]")
    for line in map(Text.from_ansi, lines):
        for start in range(0, max(len(line), 1), COLUMNS):
            console.print(line[start : start + COLUMNS])
    console.print()  # the last line of a picture is cut off below its letters
    svg = console.export_svg(title="", unique_id=path.stem)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", FONTS)
    path.write_text("".join(f"{line.rstrip()}\n" for line in svg.splitlines()))


def _arguments(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    return [sys.executable, "-m", program, *arguments]


def _read(terminal: int) -> Iterator[bytes]:
    """What arrives at a terminal, until nobody is left who could write to it."""
    while True:
        try:
            output = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last writer has closed
            return
        if not output:
            return
        yield output


def _ended_runs(database: Path) -> int:
    return sum(run.outcome is not None for run in read_runs(database)) if database.exists() else 0


def _most_eventful(database: Path) -> str:
    """The run whose jobs end in the most different ways."""
    runs = [run.run_id for run in read_runs(database)]
    return max(runs, key=lambda run_id: len({job.exit_type for job in read_jobs(database, run_id)}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
