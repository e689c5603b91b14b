"""`taskgen board` as a process: it listens until it is asked to end; a usage error is one line."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskgen.boards.taskloader_protocol import Command
from taskgen.simulation import Dialect, run_boards
from tests.support.board_client import AVAILABLE, board_client


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "taskgen", "board", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line it prints; the test's own deadline ends the wait."""
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_cleanly(number: signal.Signals) -> None:
    with running("--listen", "127.0.0.1:0", "--count", "2", "--speed", "100") as process:
        addresses = [line_of(process).split()[1] for _ in range(2)]
        with board_client(addresses[1]) as one:
            one.say(Command.AVAILABLE)
            assert one.read(4) == AVAILABLE
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""


@pytest.mark.parametrize("dialect", Dialect)
def test_boards_can_be_of_any_generation(dialect: Dialect) -> None:
    with running("--listen", "127.0.0.1:0", "--dialect", dialect) as process:
        assert f"({dialect} dialect, " in line_of(process)


def test_many_boards_are_one_line() -> None:
    with running("--listen", "127.0.0.1:0", "--count", "40") as process:
        assert line_of(process).startswith("40 boards, 127.0.0.1:")


def test_a_range_gives_each_board_an_address_of_its_own() -> None:
    with run_boards(listen="127.0.10.0/30:0") as addresses:
        assert [address.split(":")[0] for address in addresses] == ["127.0.10.1", "127.0.10.2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "no-such"], "choose from split-writes"),
        (["--dialect", "ancient"], "choose one of old, new, newest"),
        (["--listen", "here"], "write one such as 127.0.0.1"),
        (["--listen", "127.0.10.1/28"], "a range such as 127.0.10.0/28"),
        (["--speed", "0"], "write a positive number"),
        (["--cores", "0"], "1 to 256"),
        (["--count", "-1"], "write 1 or more"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_to_write(arguments: list[str], said: str) -> None:
    with running(*arguments) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in errors
    assert errors.count("\n") == 1
    assert output == ""


def test_a_taken_port_is_one_line() -> None:
    with run_boards() as (address,), running("--listen", address) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors.count("\n") == 1
    assert address in errors
