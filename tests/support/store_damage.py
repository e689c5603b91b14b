"""Ways to damage the files of stores, and the commands that are to bear it, run in this process."""

from __future__ import annotations

import io
import logging
import random
import sqlite3
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from taskgen.cli import main

ODD_VALUES: tuple[object, ...] = (
    None,
    "",
    "x",
    "[/red]\x1b[31m\n",
    "-1",
    1.5,
    float("inf"),
    -(2**63),
    2**63 - 1,
    b"\xff\0",
    "9" * 5000,
    "[" * 100_000,
)
"""What no column holds, or hardly any."""
NO_TEXT = "CAST(x'c328' AS TEXT)"
"""What SQLite takes for text, and Python does not."""


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    code: object
    stdout: str
    stderr: str


def run_command(*arguments: str | Path) -> Ended:
    """Run `taskgen` in this process, to be quick; what it does not catch is raised here."""
    root = logging.getLogger()
    handlers, level, argv = root.handlers, root.level, sys.argv
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["taskgen", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        return Ended(ended.code or 0, out.getvalue(), err.getvalue())
    finally:
        root.handlers, sys.argv = handlers, argv
        root.setLevel(level)
    raise AssertionError("the command does not end")


def bear(*arguments: str | Path) -> Ended:
    """Run a command on damaged stores: it may find them damaged, in one line, and nothing else may happen."""
    ended = run_command(*arguments)
    assert ended.code in (0, 1, 2), ended
    assert "Traceback" not in ended.stdout + ended.stderr, ended
    if ended.code == 2 or not ended.stdout:
        assert ended.stderr.startswith("taskgen: "), ended
        assert ended.stderr.count("\n") == 1, ended
        assert ended.stdout == "", ended
    return ended


def change_bytes(path: Path, chance: random.Random) -> None:
    """Change a file somewhere, in one of the ways in which disks and people do."""
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data) + 1)
    length = chance.choice((1, 1, 2, 16, 512, 4096))
    match chance.randrange(8):
        case 0:
            del data[at:]
        case 1:
            data[at : at + length] = bytes(len(data[at : at + length]))
        case 2:
            data[at : at + length] = chance.randbytes(len(data[at : at + length]))
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = chance.randbytes(length)
        case 5:
            data[at:at] = data[max(at - length, 0) : at]
        case 6:
            data[at:at] = chance.choice((b'"', b",", b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"-", b"9" * 30))
        case _:
            for _ in range(length):
                if data:
                    data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(bytes(data))


def columns(path: Path) -> list[tuple[str, str]]:
    """All columns of all tables of a SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c "
            "WHERE m.type = 'table' ORDER BY m.name, c.cid"
        ).fetchall()


def set_value(path: Path, table: str, column: str, value: object) -> bool:
    """Give a column's first row an odd value; tells whether SQLite takes it."""
    expression, values = (NO_TEXT, ()) if value is NO_TEXT else ("?", (value,))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        found = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,))
        key = ", ".join(name for (name,) in found)
        try:
            changed = connection.execute(
                f'UPDATE {table} SET "{column}" = {expression} '
                f"WHERE ({key}) = (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1)",
                values,
            )
        except sqlite3.IntegrityError:
            return False
        return changed.rowcount > 0


def execute(path: Path, *statements: str) -> None:
    """Change a SQLite file, also its schema."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)
