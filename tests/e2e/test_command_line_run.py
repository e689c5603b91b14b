"""`taskgen run` against simulated boards: what it stores, says and exits with."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from taskgen.events.sql import read_runs
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from tests.support.command_line import (
    environment,
    events_in_csv,
    events_in_database,
    events_in_truth,
    run_taskgen,
    start_taskgen,
    write_taskset,
)
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = {"pkg": "hey", "period": 20, "numberofjobs": 3}
ENDLESS = {"pkg": "hey", "period": 20, "numberofjobs": 1_000_000}


def boards(count: int, **settings: Any) -> AbstractContextManager[list[str]]:
    return run_boards(count, **({"speed": 20.0} | settings))


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def board_options(addresses: list[str]) -> list[str]:
    return [word for address in addresses for word in ("--board", address)]


def test_every_variant_is_run_and_everything_the_boards_sent_is_stored(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    path = write_taskset(tmp_path, QUICK | {"priority": [1, 2, 3, 4, 5]})
    with boards(2, truth=truth) as addresses:
        ended = run_taskgen(
            "run", path, *board_options(addresses), "--sqlite", "a.db", "--csv", "a.csv", cwd=tmp_path
        )
    assert ended.returncode == 0, ended.stderr
    assert "5 finished (of 5 variants)" in ended.stdout
    assert "a.db" in ended.stdout
    assert "a.csv" in ended.stdout
    assert sorted(run.variant for run in read_runs(tmp_path / "a.db")) == [0, 1, 2, 3, 4]
    assert (
        events_in_database(tmp_path / "a.db") == events_in_csv(tmp_path / "a.csv") == events_in_truth(truth)
    )


def test_without_a_store_events_go_to_events_db_and_a_note_says_so(tmp_path: Path) -> None:
    with boards(1) as addresses:
        ended = run_taskgen("run", EXAMPLES / "two_tasks.xml", *board_options(addresses), cwd=tmp_path)
    assert ended.returncode == 0
    assert "events go to events.db" in ended.stderr
    assert [run.outcome for run in read_runs(tmp_path / "events.db")] == [Outcome.FINISHED]


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    path = write_taskset(tmp_path, QUICK | {"priority": [1, 2]})
    with boards(1) as addresses:
        ended = run_taskgen("run", path, *board_options(addresses), "--json", cwd=tmp_path)
    summary = json.loads(ended.stdout)
    assert summary.pop("seconds") > 0
    assert summary.pop("bytes") > 0
    assert 1 <= summary.pop("frames") <= 12
    assert summary == {
        "variants": 2,
        "outcomes": {"finished": 2},
        "failed": [],
        "events": 14,
        "jobs": 6,
        "misses": 0,
        "skipped_releases": 0,
        "variants_with_misses": 0,
        "quarantined": 0,
        "handler_failures": {},
        "stored": {"sqlite": "events.db"},
        "signal": None,
        "is_interrupted": False,
        "exit_code": 0,
    }


def test_several_task_sets_of_all_kinds_make_one_campaign(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from taskgen.task import Task\n"
        "def taskset():\n    yield Task(pkg='hey', period=100, priority=iter([1, 2, 3]))\n"
    )
    with boards(2) as addresses:
        ended = run_taskgen(
            "run",
            EXAMPLES / "two_tasks.xml",
            EXAMPLES / "variants.json",
            "mine:taskset",
            *board_options(addresses),
            "--json",
            cwd=tmp_path,
        )
    summary = json.loads(ended.stdout)
    assert summary["outcomes"] == {"finished": 1 + 6 + 3}
    assert summary["variants"] is None  # a generator hides it


def test_the_users_first_handler_decides_and_the_stores_observe(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from taskgen.event import DefaultEventHandler\n"
        "class Impatient(DefaultEventHandler):\n"
        "    def __taskset_event__(self, taskset, event):\n"
        "        return False\n"
    )
    with boards(1) as addresses:
        ended = run_taskgen(
            "run",
            write_taskset(tmp_path, ENDLESS),
            *board_options(addresses),
            "--handler",
            "mine:Impatient",
            "--sqlite",
            "a.db",
            cwd=tmp_path,
        )
    assert ended.returncode == 0, ended.stderr
    assert [run.outcome for run in read_runs(tmp_path / "a.db")] == [Outcome.STOPPED_BY_RULE]
    assert events_in_database(tmp_path / "a.db")


def test_a_handler_that_raises_is_reported_and_makes_the_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from taskgen.event import DefaultEventHandler\n"
        "class Broken(DefaultEventHandler):\n"
        "    def __taskset_start__(self, taskset):\n"
        "        raise KeyError('mine')\n"
    )
    with boards(1) as addresses:
        ended = run_taskgen(
            "run",
            write_taskset(tmp_path, QUICK | {"priority": [1, 2]}),
            *board_options(addresses),
            "--handler",
            "mine:Broken",
            "--sqlite",
            "a.db",
            cwd=tmp_path,
        )
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1
    assert "Broken raised KeyError" in ended.stdout
    assert "2 times" in ended.stdout
    assert [run.outcome for run in read_runs(tmp_path / "a.db")] == [Outcome.FINISHED] * 2


def test_binaries_and_admission_control_reach_the_board(tmp_path: Path) -> None:
    (tmp_path / "binaries").mkdir()
    (tmp_path / "binaries" / "my_own").write_bytes(b"binary")
    (tmp_path / "goal.json").write_text('{"optimize": {"goal": {"fairness": {"apply": 1}}}}')
    path = write_taskset(tmp_path, {"pkg": "my_own", "period": 100})
    options = ("--binaries", "binaries", "--admission-control", "goal.json", "--sqlite", "a.db")
    with boards(1) as addresses:
        ended = run_taskgen("run", path, *board_options(addresses), *options, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    # A board that was not sent the binary of an unknown name answers EXIT_ERROR.
    assert {kind for _, kind, _ in events_in_database(tmp_path / "a.db")} >= {"START", "EXIT"}


def test_a_variant_that_no_board_survives_has_failed_with_the_reason_of_every_attempt(tmp_path: Path) -> None:
    with boards(1, faults=["huge-size"]) as first, boards(1, faults=["eof-mid-frame"]) as second:
        ended = run_taskgen(
            "run",
            write_taskset(tmp_path, QUICK | {"numberofjobs": 50}),
            *board_options(first + second),
            "--max-attempts",
            "2",
            "--json",
            cwd=tmp_path,
        )
    summary = json.loads(ended.stdout)
    assert ended.returncode == summary["exit_code"] == 1
    (failed,) = summary["failed"]
    assert failed["variant"] == 0
    assert len(failed["reasons"]) == 2
    assert {address in " ".join(failed["reasons"]) for address in first + second} == {True}


def test_a_run_that_takes_too_long_is_stopped_and_makes_the_exit_code_1(tmp_path: Path) -> None:
    path = write_taskset(tmp_path, ENDLESS)
    with boards(1) as addresses:
        ended = run_taskgen(
            "run", path, *board_options(addresses), "--run-timeout", "0.5", "--sqlite", "a.db", cwd=tmp_path
        )
    assert ended.returncode == 1
    assert "1 timed_out" in ended.stdout
    assert [run.outcome for run in read_runs(tmp_path / "a.db")] == [Outcome.TIMED_OUT]


def test_a_board_that_cannot_be_reached_is_named_and_the_others_work(tmp_path: Path) -> None:
    nobody = closed_port()
    with boards(1) as addresses:
        ended = run_taskgen(
            "run", write_taskset(tmp_path, QUICK), *board_options([nobody, *addresses]), cwd=tmp_path
        )
    assert ended.returncode == 0
    assert f"{nobody}: lost: no connection" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_boards_and_everything_is_stored(tmp_path: Path, number: signal.Signals) -> None:
    truth, database = tmp_path / "truth.jsonl", tmp_path / "a.db"
    path = write_taskset(tmp_path, ENDLESS, {"pkg": "idle", "period": 10**9})
    with (
        boards(2, truth=truth) as addresses,
        start_taskgen(
            "run", path, path, path, *board_options(addresses), "--sqlite", "a.db", cwd=tmp_path
        ) as run,
    ):
        wait_until(lambda: truth.exists() and len(events_in_truth(truth)) > 20, 30, "both boards run")
        run.send_signal(number)
        output, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert f"interrupted by {number.name}" in output
    assert f"{number.name}: stopping the boards" in errors
    assert "2 stopped_by_user (of 3 variants)" in output
    assert {run.outcome for run in read_runs(database)} == {Outcome.STOPPED_BY_USER}
    # Only a STOP makes a board end the endless task so, and what it said then is stored, too.
    assert {board for board, kind, _ in events_in_database(database) if kind == "EXIT_EXTERNAL"} == set(
        addresses
    )
    assert events_in_database(database) == events_in_truth(truth)
    assert "Traceback" not in errors


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    path = write_taskset(tmp_path, QUICK | {"numberofjobs": 500})
    # A frozen board never answers the STOP, so the first Ctrl-C alone would take as long as the watchdog.
    with (
        boards(1, faults=["freeze"]) as addresses,
        start_taskgen("run", path, *board_options(addresses), cwd=tmp_path) as run,
    ):
        assert run.stderr is not None
        assert any("1 busy" in line for line in run.stderr)
        run.send_signal(signal.SIGINT)
        assert any("stopping the boards" in line for line in run.stderr)
        run.send_signal(signal.SIGINT)
        errors = run.stderr.read()
        assert run.wait(timeout=20) == 130
    assert "ended at once" in errors


@pytest.mark.servers
def test_any_kind_of_store_can_be_written_and_they_agree(tmp_path: Path, postgres_database: str) -> None:
    stores = ["sqlite:a.db", "csv:a.csv", postgres_database]
    options = [word for store in stores for word in ("--store", store)]
    with boards(1) as addresses:
        path = write_taskset(tmp_path, QUICK | {"priority": [1, 2]})
        ended = run_taskgen("run", path, *board_options(addresses), *options, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "a.db (sqlite)" in ended.stdout
    assert ":***@" in ended.stdout
    verified = run_taskgen("verify", *stores, cwd=tmp_path)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "2 checked" in verified.stdout


def test_progress_without_a_terminal_is_plain_lines(tmp_path: Path) -> None:
    with boards(1, speed=0.2) as addresses:
        ended = run_taskgen("run", write_taskset(tmp_path, QUICK), *board_options(addresses), cwd=tmp_path)
    assert "0 of 1 run done; boards: " in ended.stderr
    assert "\x1b" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("columns", [20, 80])
def test_progress_on_a_terminal_is_drawn_in_place_however_narrow_it_is(tmp_path: Path, columns: int) -> None:
    path = write_taskset(tmp_path, QUICK | {"priority": [1, 2, 3]})
    leader, terminal = pty.openpty()
    with boards(1) as addresses:
        run = subprocess.Popen(
            [sys.executable, "-m", "taskgen", "run", str(path), *board_options([*addresses, closed_port()])],
            cwd=tmp_path,
            env=environment(TERM="xterm", COLUMNS=str(columns)),
            stderr=terminal,
            stdout=subprocess.DEVNULL,
        )
        os.close(terminal)
        with run:
            drawn = b"".join(_read_all(leader))
        os.close(leader)
    assert run.returncode == 0
    assert b"of 3" in drawn
    assert b"\x1b[" in drawn
    assert b"lost: no connection" in drawn.replace(b"\r\n", b" ")
    assert b"Traceback" not in drawn


def _read_all(leader: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            return
        if not data:
            return
        yield data
