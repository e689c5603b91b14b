"""The `taskgen` command: each of its commands is a module of its own, imported when it is used."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from typing import Annotated, Final

import typer

from taskgen.cli.interruption import EXIT_CODE
from taskgen.cli.lazy_commands import LazyCommands
from taskgen.errors import BrokerError, StoreUnavailableError, TaskgenError
from taskgen.redaction import without_password
from taskgen.untrusted_text import printable

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

app = typer.Typer(
    name="taskgen",
    cls=LazyCommands,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Run real-time task-sets on many boards and keep every event.",
)


def main() -> None:
    """Run the command in `sys.argv`; an error is one line on stderr.

    Exit code 2 for a usage error, 1 if a broker or a store is to blame.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as on stderr, where it is not UTF-8
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
        message = error.format_message().rstrip(".")
        code = _complain(f"{message} (see {_help_of(error)})") if message else 2  # 2: the help was shown
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_CODE
    except BrokenPipeError:
        _drop_output()  # the reader has seen enough
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
        import importlib.metadata  # noqa: PLC0415 - not needed for --help

        typer.echo(f"taskgen {importlib.metadata.version('taskgen-events')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _begin(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    from taskgen.runtime.logs import configure_logs  # noqa: PLC0415 - not needed for --help

    configure_logs("console")
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
