"""A process that was stopped and goes on: the boards that spoke meanwhile are not to blame."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from taskgen.boards.taskloader_protocol import WORD, Answer, Command
from tests.support.profiles import profile_document
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.waiting import wait_until

_TIMEOUT_S = 0.5
_PROCESS = f"""
import sys
from taskgen.distributor import Distributor
from taskgen.task import Task
from taskgen.taskset import TaskSet

times = dict.fromkeys(("frame_timeout_s", "answer_timeout_s", "silence_timeout_s"), {_TIMEOUT_S})
with Distributor(sys.argv[1], **times) as distributor:
    campaign = distributor.start(TaskSet([Task(pkg="hey", period=100)]))
print(*(f"{{outcome}} {{count}}" for outcome, count in campaign.outcomes.items()))
"""


class Paused:
    """The distributor's process, which a board's script stops for longer than any of its times."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    @contextmanager
    def pause(self) -> Iterator[None]:
        wait_until(lambda: self.process is not None, 20, "the process")
        assert self.process is not None
        time.sleep(0.1)  # so that it waits for the board again
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
            time.sleep(3 * _TIMEOUT_S)
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


def says_something(line: BoardConnection, paused: Paused) -> None:
    line.obey_until(Command.START)
    line.send_events(("START", 0, 1))
    with paused.pause():
        line.send_events(("EXIT", 0, 2), ("JOBS_DONE", 0, 2))
    line.obey_until(Command.AVAILABLE)
    line.wait_for_end()


def sends_the_rest_of_a_frame(line: BoardConnection, paused: Paused) -> None:
    whole = profile_document(("START", 0, 1), ("EXIT", 0, 2))
    line.obey_until(Command.START)
    line.send(WORD.pack(len(whole)) + whole[:20])
    with paused.pause():
        line.send(whole[20:])
    line.obey_until(Command.AVAILABLE)
    line.wait_for_end()


def answers_after_the_stop(line: BoardConnection, paused: Paused) -> None:
    line.obey_until(Command.START)
    line.send_events(("START", 0, 1), ("EXIT", 0, 2))
    line.obey_until(Command.AVAILABLE, is_newer=False)
    with paused.pause():
        line.send(WORD.pack(Answer.AVAILABLE))
    line.wait_for_end()


@pytest.mark.parametrize("script", [says_something, sends_the_rest_of_a_frame, answers_after_the_stop])
def test_a_board_that_sent_data_while_the_process_was_suspended_is_not_lost(
    script: Callable[[BoardConnection, Paused], None],
) -> None:
    paused = Paused()
    with scripted_board(lambda line: script(line, paused)) as address:
        paused.process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with paused.process as process:
            try:
                said, _ = process.communicate(timeout=60)
            finally:
                process.kill()
    assert said.split() == ["finished", "1"]  # and no warning that a board was lost
