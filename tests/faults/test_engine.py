"""The boards' thread cannot begin, or dies: whoever waits for it gets an error instead of hanging."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from taskgen.boards.taskloader import TaskloaderSession
from taskgen.distributor import Distributor
from taskgen.errors import DistributorError
from taskgen.simulation import run_boards
from taskgen.taskset import TaskSet
from tests.support.tasksets import two_tasks


@pytest.fixture
def no_file_left() -> Iterator[None]:
    """This process has as many files open as it may."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limits[1]))
    gc.disable()  # pytest cannot report what complains meanwhile without opening a file
    with ExitStack() as stack:
        stack.callback(gc.enable)
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with suppress(OSError):
            while True:
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield
    gc.collect()  # asyncio's half-made loops, which complain, while the test's filter holds


class _FatalError(BaseException):
    """Such as test frameworks and greenlets raise: no `Exception`."""


class Fatal(TaskloaderSession):
    """A user's own session that ends its thread."""

    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        raise _FatalError


@pytest.mark.usefixtures("no_file_left")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_thread_that_cannot_start_is_reported_by_start() -> None:
    with Distributor("127.0.0.1:1") as distributor:
        for _ in range(2):
            with pytest.raises(DistributorError, match="Too many open files"):
                distributor.start(two_tasks())


def test_a_thread_that_dies_later_is_reported_to_those_waiting_for_the_campaign() -> None:
    with run_boards() as boards, Distributor(boards, session=Fatal) as distributor:
        for wait in (lambda: distributor.start(two_tasks()), distributor.wait_finished, distributor.stop):
            with pytest.raises(DistributorError, match="the boards' thread has died: _FatalError"):
                wait()
    assert distributor.wait_closed(0)
