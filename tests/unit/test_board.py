"""One board of the pool, with a source and a session that do as the test says."""

import asyncio
from typing import Any

from taskgen.boards.address import Address
from taskgen.boards.limits import Limits
from taskgen.boards.session import AbstractSession
from taskgen.errors import BoardLostError
from taskgen.execution.assignment import Assignment
from taskgen.execution.board import Board, BoardSettings
from taskgen.execution.dispatcher import Dispatcher
from taskgen.run import Run
from taskgen.task import Task
from taskgen.taskset import TaskSet


class OneTaskSet:
    """A source that gives the same task-set, at once."""

    def __init__(self) -> None:
        self.assignment = Assignment(TaskSet([Task(pkg="hey")]).checked())
        self.is_back = asyncio.Event()

    async def take(self, board: str) -> Assignment:
        return self.assignment

    def give_back(self, assignment: Assignment) -> None:
        assert assignment is self.assignment
        self.is_back.set()

    def begun(self, assignment: Assignment, run: Run) -> None:
        raise AssertionError("a run on a board that broke off")

    def ended(self, assignment: Assignment, run: Run) -> None:
        raise AssertionError("the end of what was not begun")

    def refused(self, assignment: Assignment, reason: str) -> None:
        raise AssertionError("a refusal")

    def boards_changed(self) -> None:
        pass


class BreakingOff(AbstractSession):
    """Breaks off as soon as it is listened to."""

    async def connect(self) -> None:
        pass

    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        raise AssertionError("a start on a board that broke off")

    async def receive(self, timeout_s: float | None) -> list[bytes]:
        raise BoardLostError("it broke off")

    async def stop(self, *, is_finished: bool) -> None:
        pass

    async def reboot(self) -> None:
        pass

    async def close(self) -> None:
        pass


def test_a_task_set_taken_just_when_the_board_disconnects_is_returned() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        source = OneTaskSet()
        settings = BoardSettings(session_class=BreakingOff)
        board = Board(Address("somewhere", 1), settings, source, dispatcher)
        serving = asyncio.create_task(board.serve())
        try:
            async with asyncio.timeout(20):
                await source.is_back.wait()
        finally:
            serving.cancel()
            await asyncio.wait({serving})

    dispatcher = Dispatcher(Limits())
    try:
        asyncio.run(main(dispatcher))
    finally:
        dispatcher.close()
