"""A pool with a source of its own: what was taken and not begun comes back."""

import asyncio

from taskgen.boards.address import parse_addresses
from taskgen.boards.limits import Limits
from taskgen.execution.assignment import Assignment
from taskgen.execution.board import BoardPool, BoardSettings
from taskgen.execution.dispatcher import Dispatcher
from taskgen.run import Outcome, Run
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet


class StoppedAtOnce:
    """A `AssignmentSource` whose user stops everything in the moment between taking and beginning."""

    def __init__(self) -> None:
        self.pool: BoardPool | None = None
        self.given_back: list[Assignment] = []
        self.begun_runs: list[Run] = []
        self.is_over = asyncio.Event()
        self._is_taken = False

    async def take(self, board: str) -> Assignment:
        if self._is_taken:
            self.is_over.set()
            await asyncio.Event().wait()
        self._is_taken = True
        assert self.pool is not None
        asyncio.get_running_loop().call_soon(self.pool.stop_runs, Outcome.STOPPED_BY_USER)
        return Assignment(TaskSet([Task(pkg="idle", period=10**9)]).checked())

    def give_back(self, assignment: Assignment) -> None:
        self.given_back.append(assignment)

    def begun(self, assignment: Assignment, run: Run) -> None:
        self.begun_runs.append(run)

    def ended(self, assignment: Assignment, run: Run) -> None:
        self.is_over.set()

    def refused(self, assignment: Assignment, reason: str) -> None:
        raise AssertionError("a refusal")

    def boards_changed(self) -> None:
        pass


async def stop_between(address: str) -> StoppedAtOnce:
    source, dispatcher = StoppedAtOnce(), Dispatcher(Limits())
    source.pool = BoardPool(parse_addresses(address), BoardSettings(), source, dispatcher)
    serving = asyncio.create_task(source.pool.serve())
    try:
        async with asyncio.timeout(20):
            await source.is_over.wait()
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        await asyncio.to_thread(dispatcher.close)
    return source


def test_a_task_set_taken_during_a_stop_is_returned_instead_of_being_run() -> None:
    with run_boards(speed=100) as (address,):
        source = asyncio.run(stop_between(address))
    assert len(source.given_back) == 1
    assert source.begun_runs == []
