"""Damaged and foreign stores: every command says so in one line, and none ends with a traceback."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from taskgen.event import Quarantined
from taskgen.events.base import StoringHandler
from taskgen.events.csv import COLUMNS, CsvHandler
from taskgen.events.csv_parts import CsvPartsHandler
from taskgen.events.postgres import PostgresHandler
from taskgen.events.sql import SqliteHandler
from taskgen.simulation import run_boards
from taskgen.taskset import TaskSet
from tests.support.command_line import write_taskset
from tests.support.profiles import event
from tests.support.store_damage import (
    NO_TEXT,
    ODD_VALUES,
    bear,
    change_bytes,
    columns,
    execute,
    run_command,
    set_value,
)
from tests.support.store_events import end_run, give, taskset

STORES = ("events.db", "parts/ledger.db")
UNREAD = {"quarantine", "quarantined", "stored"}
"""Tables that neither command looks into."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of each kind, all with the same: two runs that ended, and one that goes on."""
    folder = tmp_path_factory.mktemp("whole")
    runs = [taskset(variant=number) for number in range(3)]
    makers: list[Callable[[], StoringHandler]] = [
        lambda: SqliteHandler(folder / "events.db"),
        lambda: CsvHandler(folder / "events.csv"),
        lambda: CsvPartsHandler(folder / "parts"),
    ]
    for make in makers:
        with make() as handler:
            for tasks in runs:
                _give_run(handler, tasks)
    return folder


def _give_run(handler: StoringHandler, tasks: TaskSet) -> None:
    assert tasks.run is not None
    run = tasks.run
    handler.__taskset_start__(tasks)
    give(handler, tasks, 0, event("START", 0, 5), event("EXIT", 0, 9, **{"@core": 'the "first"'}))
    give(handler, tasks, 2, event("START", 1, 2**64 - 9), event("NOT_SCHEDULED", 1, 2**63))
    handler.__taskset_quarantine__(
        None, Quarantined("not XML", b"<\xff", run.board, run.received_at, run.run_id)
    )
    if run.variant:
        end_run(handler, tasks, 4)
    tasks.run = run


@pytest.fixture
def here(whole: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "here"))


def ids(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "events.db")) as connection:
        return [run for (run,) in connection.execute("SELECT run_id FROM runs ORDER BY run_id")]


def specs(folder: Path) -> list[str]:
    return [f"sqlite:{folder}/events.db", f"csv:{folder}/parts", f"csv:{folder}/events.csv"]


def bear_all(folder: Path, runs: list[str]) -> None:
    bear("show", folder / "events.db")
    bear("show", folder / "events.db", "--run", runs[0])
    bear("verify", *specs(folder))


def test_the_stores_are_valid_before_they_are_damaged(here: Path) -> None:
    ended = run_command("verify", *specs(here))
    assert (ended.code, ended.stderr) == (0, ""), ended
    assert "2 checked, 1 skipped because" in ended.stdout
    assert run_command("show", here / "events.db", "--run", ids(here)[0]).code == 0


@pytest.mark.parametrize("store", STORES)
def test_a_value_of_a_wrong_type_in_any_column(here: Path, store: str) -> None:
    path, good = here / store, (here / store).read_bytes()
    commands: list[tuple[str, ...]] = [("verify", specs(here)[STORES.index(store)])]
    if store == "events.db":
        commands.append(("show", str(path), "--run", ids(here)[0]))
    taken = 0
    for table, column in columns(path):
        for value in (*ODD_VALUES, NO_TEXT):
            path.write_bytes(good)
            if table not in UNREAD and set_value(path, table, column, value):
                bear(*commands[taken % len(commands)])
                taken += 1
    assert taken > 100


@pytest.mark.parametrize(
    ("store", "statement", "said"),
    [
        ("events.db", "UPDATE runs SET outcome = 'x'", "runs, row ("),
        ("events.db", "UPDATE runs SET outcome = 'x'", "outcome is 'x', not one of finished, "),
        ("events.db", "UPDATE runs SET events = 'many'", "events is 'many', not a whole number"),
        ("events.db", "UPDATE runs SET run_id = x'ff' WHERE variant = 1", "run_id is b'\\xff', not text"),
        (
            "events.db",
            "UPDATE runs SET board = CAST(x'c328' AS TEXT)",
            "Could not decode to UTF-8 column 'board'",
        ),
        ("events.db", "UPDATE events SET time_stamp = 'noon' WHERE seq = 2", "', 2): damaged, or changed by"),
        ("events.db", "UPDATE tasks SET config = '[' WHERE task_id = 1", "', 1): damaged, or changed by"),
        ("events.db", "UPDATE tasks SET config = '['", "config is '[', not JSON"),
        ("events.db", "ALTER TABLE events DROP COLUMN type", "no such column: type"),
        ("events.db", "DROP TABLE tasks", "no such table: "),
        ("parts/ledger.db", "UPDATE files SET length = 'all'", "files, row ('events-part-"),
        (
            "parts/ledger.db",
            "UPDATE files SET name = '../events.csv' WHERE name NOT LIKE '%quarantine%'",
            "not the name of a file",
        ),
        ("parts/ledger.db", "UPDATE runs SET attempt = 1.5", "attempt is 1.5, not a whole number"),
    ],
)
def test_the_error_names_the_file_and_the_row(here: Path, store: str, statement: str, said: str) -> None:
    execute(here / store, statement)
    ended = bear("verify", *specs(here))
    assert ended.code == 2, ended
    assert f"{here / store}: " in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("seq", b"first", "seq is 'first', not a whole number"),
        ("seq", b"9" * 5000, "not a whole number"),
        ("variant", b"", "variant is '', not a whole number"),
        ("time_stamp", b"NaN", "time_stamp is 'NaN', not a whole number"),
        ("type", b"\xff", "codec can't decode byte 0xff"),
        ("type", b'"START', "damaged, or changed by another program: "),
        ("type", b"a,b", "12 values, not 11"),
        ("type", b"a\nb", "3: damaged, or changed by another program: is not terminated like a line"),
    ],
)
@pytest.mark.parametrize("store", ["events.csv", "parts"])
def test_the_error_names_the_csv_file_and_the_line(
    here: Path, store: str, column: str, value: bytes, said: str
) -> None:
    (path,) = (
        [here / store]
        if store == "events.csv"
        else [path for path in (here / store).glob("*.csv") if path.name.count(".") == 1]
    )
    lines = path.read_bytes().split(b"\r\n")
    values = lines[2].split(b",", len(COLUMNS) - 1)
    values[COLUMNS.index(column)] = value
    lines[2] = b",".join(values)
    path.write_bytes(b"\r\n".join(lines))
    execute(
        here / "parts/ledger.db",
        f"UPDATE files SET length = {path.stat().st_size} WHERE name = '{path.name}'",
    )
    ended = bear("verify", f"csv:{here / store}")
    assert ended.code == 2, ended
    assert f"{path}: line 3: " in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE runs SET outcome = 'x'", "runs, row ("),
        ("UPDATE events SET time_stamp = 'NaN' WHERE seq = 2", "events, row ("),
        ("UPDATE tasks SET config = '['", "config is '[', not JSON"),
        ("ALTER TABLE events DROP COLUMN type CASCADE", 'column "type" does not exist'),
        ("DROP TABLE tasks CASCADE", 'relation "tasks" does not exist'),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_invalid_row_in_postgresql(
    here: Path, postgres_database: str, statement: str, said: str, is_first: bool
) -> None:
    with PostgresHandler(postgres_database) as handler:
        for number in range(3):
            _give_run(handler, taskset(variant=number))
    with psycopg.connect(postgres_database) as connection:
        connection.execute(statement.encode())
    stores = [postgres_database, *specs(here)]
    ended = bear("verify", *(stores if is_first else reversed(stores)))
    assert ended.code == 2, ended
    assert said in ended.stderr


@pytest.mark.parametrize("seed", range(40))
def test_bytes_that_are_changed_anywhere(here: Path, seed: int) -> None:
    chance, runs = random.Random(seed), ids(here)
    for _ in range(chance.choice((1, 1, 3))):
        change_bytes(chance.choice(sorted(path for path in here.rglob("*") if path.is_file())), chance)
    bear("show", here / "events.db")
    bear("show", here / "events.db", "--run", runs[0])
    for spec in specs(here):
        bear("verify", spec)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 10_000,
        b"\xff\xd8\xff\xe0JFIF" * 500,
        "run_id,seq\r\n".encode("utf-16"),
        b"\xef\xbb\xbf" + b",".join(column.encode() for column in COLUMNS) + b"\r\n",
        b"SQLite format 3\0" + b"\x10\0\2\2\0\x40\x20\x20" + b"\0" * 4072,
        json.dumps({"run_id": 1}).encode(),
    ],
    ids=["empty", "nuls", "picture", "utf-16", "bom", "sqlite", "json"],
)
def test_foreign_files(here: Path, data: bytes) -> None:
    for path in (here / "events.db", here / "events.csv", here / "parts/ledger.db"):
        path.write_bytes(data)
    assert bear("show", here / "events.db").code == 2
    for spec in specs(here):
        assert bear("verify", spec).code == 2


@pytest.mark.parametrize("kind", ["csv", "sqlite"])
def test_paths_that_are_not_files(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    tasks = write_taskset(tmp_path, {"pkg": "hey"})
    for place in (tmp_path / "pipe", "/dev/zero", tmp_path / ("x" * 300), tmp_path / "file" / "below"):
        assert bear("verify", f"{kind}:{place}").code == 2
        ended = bear("run", tasks, "--board", "127.0.0.1:1", f"--{kind}", place)
        assert ended.code == 2
        assert f"{place}: " in ended.stderr
    assert bear("show", tmp_path / "pipe").code == 2


@pytest.mark.parametrize("option", ["--csv", "--sqlite"])
def test_a_run_into_a_store_that_is_damaged(here: Path, option: str) -> None:
    """Where it can be opened all the same, it says at the end what it could not store."""
    path = here / ("events.csv" if option == "--csv" else "events.db")
    tasks, good = write_taskset(here, {"pkg": "hey", "period": 100}), path.read_bytes()
    codes = set()
    with run_boards(1, speed=1000) as (board,):
        for seed in range(12):
            path.write_bytes(good)
            change_bytes(path, random.Random(seed))
            ended = run_command("run", tasks, "--board", board, option, path)
            assert "Traceback" not in ended.stdout + ended.stderr, ended
            assert ended.code != 2 or (ended.stderr.count("\n"), ended.stdout) == (1, ""), ended
            codes.add(ended.code)
        path.write_bytes(good)
        if option == "--sqlite":
            execute(path, "ALTER TABLE events RENAME COLUMN type TO kind")
            ended = run_command("run", tasks, "--board", board, option, path)
            assert (ended.code, "Traceback" in ended.stderr) == (1, False), ended
    assert codes <= {0, 1, 2}
    assert len(codes) > 1


@pytest.mark.parametrize("command", ["show {}/events.db", "verify sqlite:{}/events.db"])
def test_an_output_that_is_full(here: Path, command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "taskgen", *command.format(here).split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "taskgen: the output: No space left on device\n")
