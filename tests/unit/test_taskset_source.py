"""The queue of task-sets as a source for boards, where no broker is needed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.distributor.taskset_source import TaskSetSource, _Taken
from taskgen.errors import BoardLeasedError
from taskgen.taskset import TaskSet


class Channel:
    """Notes what is given back."""

    def __init__(self) -> None:
        self.given_back: list[int] = []

    def give_back(self, tag: int) -> None:
        self.given_back.append(tag)


def test_a_board_that_was_just_lost_gets_no_task_set_even_if_one_arrived_for_it() -> None:
    channel: Any = Channel()

    async def take() -> None:
        lost = asyncio.get_running_loop().create_future()
        lost.set_exception(BoardLeasedError("another distributor holds its lease"))
        source = TaskSetSource(None, lambda _: False, lambda _: lost, lambda _: None)
        source._held.append(_Taken(TaskSet(), tag=7, channel=channel))
        taking = asyncio.create_task(source.take("board"))
        await asyncio.sleep(0)  # it waits now
        source.boards_changed()
        await taking

    with pytest.raises(BoardLeasedError):
        asyncio.run(take())
    assert channel.given_back == [7]
