"""Boards that die in the middle of a run: what is tried again, where, and how often."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import port_for
import pytest

from taskgen.boards.taskloader_protocol import WORD, Command
from taskgen.distributor import Distributor
from taskgen.execution.board import BoardState
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from tests.support.recording_handler import RecordingHandler
from tests.support.scripted_board import BoardConnection, finish_run, scripted_board
from tests.support.tasksets import endless_and_short_task, one_task
from tests.support.waiting import wait_until


@contextmanager
def board_process(listen: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A real `taskgen board`."""
    taskgen = Path(sys.executable).with_name("taskgen")
    process = subprocess.Popen(
        [taskgen, "board", "--listen", listen, "--speed", "100", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert "listening" in process.stdout.readline()
            yield process
        finally:
            process.kill()


def free_place() -> str:
    """An address where nothing listens."""
    return f"127.0.0.1:{port_for.select_random()}"


@pytest.fixture
def place() -> str:
    return free_place()


def test_a_killed_boards_task_set_is_retried_when_it_is_back(place: str) -> None:
    log = RecordingHandler()
    with Distributor(place, event_handler=log, longest_pause_s=0.5) as distributor:
        with board_process(place) as process:
            campaign = distributor.start([endless_and_short_task(), one_task()], wait=False)
            wait_until(lambda: "START" in log.types, 20, "a run that has begun")
            process.send_signal(signal.SIGKILL)
            process.wait()
        log.types.clear()
        with board_process(place):
            wait_until(lambda: "START" in log.types, 20, "the second attempt")
            distributor.stop()
    assert [(run.attempt, run.outcome) for run in log.ended] == [
        (1, Outcome.BOARD_LOST),
        (2, Outcome.STOPPED_BY_USER),
    ]
    assert log.ended[0].taskset_id == log.ended[1].taskset_id
    assert log.ended[0].run_id != log.ended[1].run_id
    assert campaign.failed == []


def test_a_killed_boards_task_set_is_retried_on_another_board(place: str) -> None:
    log, other = RecordingHandler(), free_place()

    def is_idle(name: str) -> bool:
        return (name, BoardState.IDLE) in [(board.name, board.state) for board in distributor.boards]

    with (
        Distributor([place, other], event_handler=log, longest_pause_s=0.5) as distributor,
        board_process(place) as process,
    ):
        distributor.start(endless_and_short_task(), wait=False)
        wait_until(lambda: "START" in log.types, 20, "a run that has begun")
        with run_boards(listen=other, speed=100):
            wait_until(lambda: is_idle(other), 20, "another board")
            process.send_signal(signal.SIGKILL)
            wait_until(lambda: log.types.count("START") == 4, 20, "the second attempt")
            distributor.stop()
    assert [(run.board, run.attempt, run.outcome) for run in log.ended] == [
        (place, 1, Outcome.BOARD_LOST),
        (other, 2, Outcome.STOPPED_BY_USER),
    ]


def test_a_variant_that_loses_every_board_fails_with_all_reasons_and_the_rest_continues() -> None:
    def breaks_off_at_priority_2(line: BoardConnection) -> None:
        while True:
            said, document = [], b""
            while Command.START not in said:
                said.append(Command(line.word()))
                if said[-1] is Command.SEND_DESCS:
                    document = line.payload()
                elif said[-1] is Command.AVAILABLE:
                    line.send(WORD.pack(Command.AVAILABLE))
            if b"<priority>2</priority>" in document:
                return
            finish_run(line)

    log = RecordingHandler()
    with (
        scripted_board(breaks_off_at_priority_2) as one,
        scripted_board(breaks_off_at_priority_2) as two,
        Distributor([one, two], event_handler=log, max_attempts=3) as distributor,
    ):
        campaign = distributor.start(one_task(priority=[1, 2, 3, 4]))
    assert campaign.outcomes == {Outcome.FINISHED: 3, Outcome.BOARD_LOST: 3}
    (bad,) = campaign.failed
    assert bad.variant == 1
    assert len(bad.reasons) == 3
    assert {reason.split(" on ")[0] for reason in bad.reasons} == {f"attempt {n}" for n in (1, 2, 3)}
    assert all("the board closed the connection" in reason for reason in bad.reasons)
    boards = [run.board for run in log.ended if run.variant == 1]
    assert set(boards[:2]) == {one, two}


@pytest.mark.parametrize(
    ("option", "was_there"), [("power_on_command", False), ("power_cycle_command", True)]
)
def test_a_board_that_stays_lost_is_switched_on_by_the_labs_command(
    tmp_path: Path, place: str, option: str, was_there: bool
) -> None:
    started = tmp_path / "started"
    script = tmp_path / "power.py"
    script.write_text(
        "import pathlib, subprocess, sys\n"
        "board, host, port, folder = sys.argv[1:]\n"
        "assert board == f'{host}:{port}'\n"
        "folder = pathlib.Path(folder)\n"
        f"taskgen = {str(Path(sys.executable).with_name('taskgen'))!r}\n"
        "log = (folder / 'log').open('w')\n"
        "process = subprocess.Popen([taskgen, 'board', '--listen', board, '--speed', '100'],\n"
        "    stdout=log, stderr=log, start_new_session=True)\n"
        "with (folder / 'started').open('a') as file:\n"
        "    print(process.pid, file=file)\n"
    )
    command = f"{sys.executable} {script} {{board}} {{host}} {{port}} {tmp_path}"
    keywords: dict[str, Any] = {option: command, "power_after_s": 0.5, "longest_pause_s": 0.2}
    try:
        with Distributor(place, **keywords) as distributor:
            if was_there:
                with board_process(place):
                    assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
            assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
    finally:
        for pid in started.read_text().split() if started.exists() else ():
            subprocess.run(["kill", "-KILL", pid], check=False)
    assert started.exists()
