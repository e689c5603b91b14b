"""What `--help` says of the commands, and how numbers are written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from taskgen.cli import COMMANDS as SUMMARIES
from taskgen.cli import make_app
from taskgen.cli.progress import Snapshot
from taskgen.cli.terminal import counted
from taskgen.execution.board import BoardState


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The command and all below it, with their paths."""
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(make_app(SUMMARIES)), "taskgen"))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_argument_and_option_is_explained_in_sentences(path: str) -> None:
    command = COMMANDS[path]
    assert command.help.split("\n\n")[0].strip()[-1] == "."
    texts = {parameter.name: parameter.help for parameter in command.params}
    assert {name: text for name, text in texts.items() if not text or text[-1] != "."} == {}


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_list_of_commands_has_the_first_line_of_each_one_s_help(name: str) -> None:
    assert COMMANDS[f"taskgen {name}"].help.split("\n\n")[0] == SUMMARIES[name]


def test_the_help_imports_neither_the_library_nor_what_only_some_commands_need() -> None:
    code = "import sys; sys.argv = ['taskgen', '--help']; from taskgen.cli import main\n"
    code += "try: main()\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "dead-letters" in done.stdout
    loaded = set(done.stderr.split())
    assert not loaded & {
        "asyncio",
        "pika",
        "psycopg",
        "pydantic",
        "rich",
        "sqlite3",
        "structlog",
        "xmltodict",
    }


def test_numbers_have_their_plurals() -> None:
    assert [counted(number, "event") for number in (0, 1, 2_000)] == ["0 events", "1 event", "2,000 events"]
    board = ("b:1", BoardState.RUNNING, "")
    one = Snapshot((board,), done=1, total=1, failed=1, events=1)
    assert one.runs == "1 of 1 run done (1 failed)"
    assert one.work("; ", 0) == "boards: 1 busy, 0 idle, 0 lost; 1 event (0/s)"
    assert Snapshot((), done=1, total=None, failed=0).runs == "1 run done"
