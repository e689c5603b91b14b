"""The `taskgen` command: each of its commands is a module of its own, imported when it is called."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Collection
from io import TextIOWrapper
from typing import Annotated, Final

import typer

from taskgen.cli.interruption import EXIT_CODE
from taskgen.errors import BrokerError, StoreUnavailableError, TaskgenError
from taskgen.redaction import without_password
from taskgen.untrusted_text import printable

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

COMMANDS: Final = {
    "run": "Run variants of task-sets on boards and store every event.",
    "board": "Start simulated boards, which need no hardware.",
    "demo": "Run variants of a task-set on simulated boards.",
    "show": "Show the runs of a database, or the jobs of one run.",
    "report": "Show response times, misses and jitter of every task.",
    "compare": "Compare two campaigns, or one with the simulated schedule.",
    "export": "Write results as Parquet or CSV, or as a Perfetto trace.",
    "bundle": "Write a campaign as one zip file that can be cited.",
    "verify": "Check that stores, or a bundle, are complete and unchanged.",
    "submit": "Submit all variants of task-sets to the lab.",
    "status": "Show boards, runs, campaigns and queues of the lab.",
    "stop": "Stop runs, and cancel task-sets that wait for a board.",
    "reboot": "Reboot a board; a run on it is lost and retried elsewhere.",
    "setup": "Declare exchanges and queues, and set the queues' limits.",
    "handle": "Call an event handler for all runs of the lab.",
    "dead-letters": "List, show, requeue or delete messages that failed.",
}
"""Each command with the first line of its help."""
_FORMER: Final = {"parked": "dead-letters"}
"""Former names, which still work."""


def make_app(called: Collection[str]) -> typer.Typer:
    """The whole command line.

    Args:
        called: names of commands. The others are known by the first line of their help alone, because
            importing them all would make every command wait for half a second.
    """
    app = typer.Typer(
        name="taskgen",
        add_completion=False,
        rich_markup_mode=None,  # with Rich, --help takes twice as long
        pretty_exceptions_enable=False,
        help="Run real-time task-sets on many boards and keep every event.",
    )
    app.callback(invoke_without_command=True)(_begin)
    for name, summary in COMMANDS.items():
        names = [name, *(former for former, present in _FORMER.items() if present == name)]
        if called_names := [one for one in names if one in called]:
            _add(app, name, called_names)
        else:
            app.command(name, help=summary)(_not_called)
    return app


def _add(app: typer.Typer, name: str, called_names: Collection[str]) -> None:
    module = importlib.import_module(f"taskgen.cli.{name.replace('-', '_')}")
    if (group := getattr(module, "app", None)) is None:
        app.command(name)(getattr(module, name))
        return
    for one in {name, *called_names}:
        app.add_typer(group, name=one, hidden=one in _FORMER)


def _not_called() -> None:
    """Placeholder for a command that is only listed."""


def main() -> None:
    """Run the command in `sys.argv`; an error is one line on stderr.

    Exit code 2 for a usage error, 1 if a broker or a store is to blame.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as on stderr, where it is not UTF-8
    called = next((one for one in sys.argv[1:] if not one.startswith("-")), "")
    try:
        code = make_app([called])(standalone_mode=False)
        sys.stdout.flush()
    except (BrokerError, StoreUnavailableError) as error:
        code = _complain(str(error), 1)
    except TaskgenError as error:
        code = _complain(str(error))
    except MemoryError:
        code = _complain("not enough memory; free some, or process less data", 1)
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        code = _complain(f"{message} (see {_help_of(error)})") if message else 2  # 2: help was printed
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_CODE
    except BrokenPipeError:
        _drop_output()  # the reader closed the pipe
        code = 1
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _drop_output()
        code = _complain(f"{error.filename or 'the output'}: {error.strerror}", 1)
    sys.exit(code)


def _drop_output() -> None:
    """Leave nothing that the interpreter would fail to flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str, code: int = 2) -> int:
    line = " ".join(_without_passwords(text).split())
    sys.stderr.write(f"taskgen: {printable(line)}\n")
    return code


def _without_passwords(text: str) -> str:
    """Hide passwords: an error may quote an argument, and any argument may be a misplaced URL."""
    for argument in sys.argv[1:]:
        for value in (argument, argument.partition("=")[2]):
            for spelling in (value, repr(value)[1:-1]):
                text = text.replace(spelling, without_password(spelling))
    return text


def _help_of(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'taskgen'} --help"


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version  # noqa: PLC0415 - every other call would wait for it

        typer.echo(f"taskgen {version('taskgen-events')}")
        raise typer.Exit


def _begin(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    from taskgen.runtime.logs import configure_logs  # noqa: PLC0415 - the help needs no logs

    configure_logs("console")
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
