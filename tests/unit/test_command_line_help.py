"""What `--help` says of the commands, and how numbers are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from taskgen.cli import app
from taskgen.cli.lazy_commands import COMMANDS as COMMAND_LINES
from taskgen.cli.lazy_commands import LazyCommand
from taskgen.cli.progress import Snapshot
from taskgen.cli.terminal import counted
from taskgen.execution.board import BoardState


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The command and all below it, with their paths."""
    command = command.load() if isinstance(command, LazyCommand) else command
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app), "taskgen"))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_argument_and_option_is_explained_in_sentences(path: str) -> None:
    command = COMMANDS[path]
    assert command.help.split("\n\n")[0].strip()[-1] == "."
    texts = {parameter.name: parameter.help for parameter in command.params}
    assert {name: text for name, text in texts.items() if not text or text[-1] != "."} == {}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_help_lists_a_command_with_the_first_sentence_of_its_own_help(name: str) -> None:
    assert " ".join(COMMANDS[f"taskgen {name}"].help.split("\n\n")[0].split()) == COMMAND_LINES[name]


def test_help_imports_neither_a_command_nor_a_library_that_only_commands_need() -> None:
    code = (
        "import sys; sys.argv = ['taskgen', '--help']; import atexit; from taskgen.cli import main\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(ended.stderr.split())
    heavy = {
        "asyncio",
        "importlib.metadata",
        "pika",
        "psycopg",
        "pydantic",
        "sqlite3",
        "structlog",
        "xmltodict",
    }
    assert imported & heavy == set()
    assert {name for name in imported if name.partition(".")[0] == "taskgen"} == {
        "taskgen",
        "taskgen.cli",
        "taskgen.cli.interruption",
        "taskgen.cli.lazy_commands",
        "taskgen.errors",
        "taskgen.redaction",
        "taskgen.untrusted_text",
    }


def test_numbers_have_their_plurals() -> None:
    assert [counted(number, "event") for number in (0, 1, 2_000)] == ["0 events", "1 event", "2,000 events"]
    board = ("b:1", BoardState.RUNNING, "")
    one = Snapshot((board,), done=1, total=1, failed=1, events=1)
    assert one.runs == "1 of 1 run done (1 failed)"
    assert one.work("; ", 0) == "boards: 1 busy, 0 idle, 0 lost; 1 event (0/s)"
    assert Snapshot((), done=1, total=None, failed=0).runs == "1 run done"
