"""The `taskgen` command: one module for each of its commands, registered here."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import sys
from io import TextIOWrapper
from typing import Annotated, Final

import typer

from taskgen.cli.board import board
from taskgen.cli.demo import demo
from taskgen.cli.handle import handle
from taskgen.cli.interruption import EXIT_CODE
from taskgen.cli.parked import app as parked
from taskgen.cli.reboot import reboot
from taskgen.cli.run import run
from taskgen.cli.setup import setup
from taskgen.cli.show import show
from taskgen.cli.status import status
from taskgen.cli.stop import stop
from taskgen.cli.submit import submit
from taskgen.cli.verify import verify
from taskgen.errors import BrokerError, StoreUnavailableError, TaskgenError
from taskgen.redaction import without_password
from taskgen.runtime.logs import configure_logs
from taskgen.untrusted_text import printable

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

app = typer.Typer(
    name="taskgen",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run real-time task-sets on many boards and keep every event.",
)
app.command()(run)
app.command()(board)
app.command()(demo)
app.command()(show)
app.command()(verify)
app.command()(submit)
app.command()(status)
app.command()(stop)
app.command()(reboot)
app.command()(setup)
app.command()(handle)
app.add_typer(parked, name="parked")


def main() -> None:
    """Run the command of `sys.argv`; what goes wrong is one line on stderr.

    Exit code 2 for a user's mistake; 1 where a broker or a store is to blame.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is, where it is no UTF-8
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except (BrokerError, StoreUnavailableError) as error:
        code = _complain(str(error), 1)
    except TaskgenError as error:
        code = _complain(str(error))
    except MemoryError:
        code = _complain("there is not enough memory for this; give it more, or less to do", 1)
    except typer.TyperException as error:
        code = _complain(f"{error.format_message()} ({_help_of(error)} says more)")
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_CODE
    except BrokenPipeError:
        _drop_output()  # whoever read has seen enough
        code = 1
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _drop_output()
        code = _complain(f"{error.filename or 'the output'}: {error.strerror}", 1)
    sys.exit(code)


def _drop_output() -> None:
    """Leave the interpreter nothing that it would try to flush, and fail to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str, code: int = 2) -> int:
    told = " ".join(_without_passwords(text).split())
    sys.stderr.write(f"taskgen: {printable(told)}\n")
    return code


def _without_passwords(text: str) -> str:
    """An error that quotes an argument may quote a URL that was given in another one's place."""
    for argument in sys.argv[1:]:
        for value in (argument, argument.partition("=")[2]):
            for spelling in (value, repr(value)[1:-1]):
                text = text.replace(spelling, without_password(spelling))
    return text


def _help_of(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'taskgen'} --help"


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"taskgen {importlib.metadata.version('taskgen-events')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _begin(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Say the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    configure_logs("console")
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
