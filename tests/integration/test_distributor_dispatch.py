"""The handlers' thread: its order, and that nothing ends it but closing."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from taskgen.dispatch import Dispatcher, Feed
from taskgen.event import DefaultEventHandler
from taskgen.limits import Limits
from taskgen.run import Outcome, Run
from taskgen.task import Task
from taskgen.taskset import TaskSet


class Names(DefaultEventHandler):
    """Writes down which run began and ended."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __taskset_start__(self, taskset: TaskSet) -> None:
        self.seen.append("start")

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        self.seen.append("stop")


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    made = Dispatcher(Limits())
    yield made
    made.close()


def test_a_run_that_begins_while_a_new_handler_still_waits_for_its_turn_is_told_to_it(
    dispatcher: Dispatcher,
) -> None:
    may_go_on, handler = threading.Event(), Names()
    taskset = TaskSet([Task(pkg="hey")])
    taskset.run = Run("board:1")

    async def run() -> None:
        feed = Feed(dispatcher, taskset)
        may_go_on.set()
        await feed.end(Outcome.STOPPED_BY_USER)

    dispatcher.submit(lambda: _wait(may_go_on))
    dispatcher.use([handler])
    asyncio.run(run())
    assert handler.seen == ["start", "stop"]


def test_a_fault_of_our_own_in_that_thread_is_told_and_ends_nothing(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a fault of our own")

    dispatcher.submit(fail)
    asyncio.run(dispatcher.caught_up())
    assert "a fault of our own" in caplog.text


def _wait(event: threading.Event) -> None:
    event.wait(30)
