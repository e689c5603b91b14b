"""The lab's power commands: for a board that can be reached and yet is of no use, and for the end."""

from __future__ import annotations

import sys
from pathlib import Path

from taskgen.boards.taskloader_protocol import Command
from taskgen.distributor import Distributor
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.waiting import wait_until


def freeze(line: BoardConnection) -> None:
    line.obey_until(Command.START)
    line.wait_for_end()


def test_a_board_that_freezes_in_every_run_is_power_cycled(tmp_path: Path) -> None:
    cycled = tmp_path / "cycled"
    command = f"{sys.executable} -c \"open({str(cycled)!r}, 'a').write('x')\""
    with (
        scripted_board(*[freeze] * 100) as board,
        Distributor(
            board,
            max_attempts=100,
            silence_timeout_s=0.1,
            longest_pause_s=0.2,
            power_cycle_command=command,
            power_after_s=0.5,
        ) as distributor,
    ):
        distributor.start(TaskSet([Task(pkg="idle", period=10**9)]), wait=False)
        wait_until(cycled.exists, 30, "the power command to be run")


def test_boards_are_switched_off_once_everything_is_done(tmp_path: Path) -> None:
    log = tmp_path / "off"
    command = f"{sys.executable} -c \"open({str(log)!r}, 'a').write('{{board}}\\n')\""
    with run_boards(2, speed=50) as boards:
        with Distributor(boards, power_off_command=command) as distributor:
            distributor.start(TaskSet([Task(pkg="hey", period=100)]))
            assert not log.exists()
        assert sorted(log.read_text().split()) == sorted(boards)
