"""`taskgen run` with boards that flood it, or that answer late."""

import json
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

from taskgen.boards.limits import Limits
from taskgen.boards.taskloader_protocol import WORD, Command
from tests.support.command_line import run_taskgen, write_taskset
from tests.support.scripted_board import BoardConnection, scripted_board


def floods(line: BoardConnection) -> None:
    line.obey_until(Command.START)
    for number in count():
        junk = b"no profile %d" % number
        line.send(WORD.pack(len(junk)) + junk)


def does_not_answer_the_stop(line: BoardConnection) -> None:
    line.obey_until(Command.START)
    line.send_events(("START", 0, 1))
    line.wait_for_end()


def quarantined(database: Path) -> int:
    """How many pieces a database has."""
    with closing(sqlite3.connect(database)) as connection:
        (pieces,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    return int(pieces)


def test_a_flooding_board_does_not_fill_the_store_and_its_run_ends(tmp_path: Path) -> None:
    path = write_taskset(tmp_path, {"pkg": "idle", "period": 10**9})
    options = ("--max-attempts", "1", "--sqlite", "a.db", "--json")
    with scripted_board(floods) as address:
        ended = run_taskgen("run", path, "--board", address, *options, cwd=tmp_path)
    summary = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert summary["outcomes"] == {"board_error": 1}
    assert summary["quarantined"] == quarantined(tmp_path / "a.db") == Limits().quarantined_pieces
    (reason,) = summary["failed"][0]["reasons"]
    assert "the board sent more than 1,000 pieces or 16,777,216 bytes that are not events; " in reason
    assert " more pieces of " in reason
    assert " more pieces of " in ended.stderr


def test_the_answer_timeout_can_be_set(tmp_path: Path) -> None:
    path = write_taskset(tmp_path, {"pkg": "idle", "period": 10**9})
    options = ("--run-timeout", "0.3", "--answer-timeout", "0.4", "--max-attempts", "1", "--json")
    with scripted_board(does_not_answer_the_stop) as address:
        ended = run_taskgen("run", path, "--board", address, *options, cwd=tmp_path)
    (bad,) = json.loads(ended.stdout)["failed"]
    assert bad["reasons"][0].endswith("did not answer within 0.4 s of STOP")
