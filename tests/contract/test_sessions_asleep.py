"""Boards that sleep through their tasks' offsets while they obey START, and answer nothing until then."""

import time

import pytest

from taskgen.boards.taskloader import TaskloaderSession
from taskgen.boards.taskloader_protocol import Command
from taskgen.errors import BoardLostError, BoardSilentError
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.board_sessions import receive_rest, talk
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.tasksets import endless_task

_ANSWER_S = 0.3
_OFFSETS = [400, 500]


def offset(*offsets_ms: int, pkg: str = "hey") -> TaskSet:
    return TaskSet([Task(pkg=pkg, period=1000, offset=one) for one in offsets_ms]).checked()


def test_a_stop_may_be_answered_as_late_as_the_offsets_add_up() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        time.sleep(sum(_OFFSETS) / 1000)
        line.send_events(("EXIT_EXTERNAL", 0, 1))
        line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        taskset = offset(*_OFFSETS)
        await connected.start(taskset)
        await connected.stop(is_finished=False)
        assert await receive_rest(connected, taskset) == [("EXIT_EXTERNAL", 0)]

    with scripted_board(script) as address:
        talk(address, conversation, answer_timeout_s=_ANSWER_S)


def test_a_board_that_does_not_answer_after_its_offsets_either_is_lost() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(offset(*_OFFSETS))
        await connected.stop(is_finished=False)
        with pytest.raises(BoardLostError, match=r"did not answer within (1|0\.[4-9])\S* s of STOP"):
            await connected.receive(None)

    with scripted_board(script) as address:
        talk(address, conversation, answer_timeout_s=_ANSWER_S)


def test_a_board_that_answered_is_awake_whatever_its_offsets_were() -> None:
    """The first answer after a START shows that this board does not sleep, or no longer."""
    hour_ms = 3_600_000

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        assert connected.asleep_s == 0
        await connected.start(offset(hour_ms))
        assert 3000 < connected.asleep_s <= 3600
        await connected.stop(is_finished=False)
        assert await connected.receive(None) == []
        assert connected.asleep_s == 0
        with pytest.raises(BoardSilentError, match=r"no AVAILABLE within 0\.3 s"):
            await connected.start(endless_task().checked())

    with scripted_board(script) as address:
        talk(address, conversation, answer_timeout_s=_ANSWER_S)


def test_an_older_board_whose_sleep_nobody_sees_the_end_of_is_given_the_time_in_its_next_run() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START, is_newer=False)
        line.obey_until(Command.START, is_newer=False)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(offset(20_000))
        await connected.stop(is_finished=False)
        assert await connected.receive(None) == []
        await connected.start(offset(30_000))
        assert connected.asleep_s > 40

    with scripted_board(script) as address:
        talk(address, conversation)
