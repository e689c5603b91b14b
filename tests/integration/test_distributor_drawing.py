"""Task-sets of a generator are drawn as boards become free, and what is wrong with one is reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typing_extensions import override

from taskgen.distributor import Distributor
from taskgen.errors import TaskSetError
from taskgen.event import DefaultEventHandler
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet


class Counting(DefaultEventHandler):
    """Notes, at the start of each run, how many task-sets were drawn; stops after some."""

    def __init__(self, runs: int) -> None:
        self.drawn = 0
        self.drawn_at_start: list[int] = []
        self.distributor: Distributor | None = None
        self._runs = runs

    def tasksets(self) -> Iterator[TaskSet]:
        for _ in range(1_000):
            self.drawn += 1
            yield TaskSet([Task(pkg="hey", period=100)])

    @override
    def __taskset_start__(self, taskset: TaskSet) -> None:
        self.drawn_at_start.append(self.drawn)
        if len(self.drawn_at_start) == self._runs:
            assert self.distributor is not None
            self.distributor.stop(wait=False)


def test_a_run_starts_when_no_more_than_the_next_task_set_has_been_drawn() -> None:
    counting = Counting(runs=5)
    with run_boards(speed=100) as (address,), Distributor(address, event_handler=counting) as distributor:
        counting.distributor = distributor
        campaign = distributor.start(counting.tasksets())
    assert counting.drawn_at_start == [2, 3, 4, 5, 6]
    assert campaign.failed == []


def test_task_sets_that_cannot_be_run_are_reported_and_the_others_are_run() -> None:
    def tasksets() -> Iterator[Any]:
        yield TaskSet([Task(pkg="hey", period=100, priority=[1, 2])])
        yield TaskSet()
        yield "tasks.json"
        yield TaskSet([Task(pkg="hey", period=100, priority=999)])
        yield TaskSet([Task(pkg="hey", period=100)])
        raise RuntimeError("no more measurements")

    with run_boards(speed=100) as (address,), Distributor(address) as distributor:
        campaign = distributor.start(tasksets())
    assert campaign.outcomes == {Outcome.FINISHED: 3}
    assert [(one.source, one.variant) for one in campaign.failed] == [
        ("task-set 1", None),
        ("task-set 2", None),
        ("task-set 3", None),
        ("task-set 5", None),
    ]
    for one, reason in zip(
        campaign.failed,
        ["has no task", "'tasks.json' is not a task-set", "task 0 (id 0): priority", "no more measurements"],
        strict=True,
    ):
        assert reason in str(one)


@pytest.mark.parametrize("wrong", [TaskSet(), "tasks.json"])
def test_the_first_task_set_of_a_generator_is_checked_before_any_board_is_touched(wrong: Any) -> None:
    with Distributor("127.0.10.1:1") as distributor:
        with pytest.raises(TaskSetError):
            distributor.start(iter([wrong, TaskSet([Task(pkg="hey", period=100)])]))
        assert not distributor.boards


def test_all_task_sets_of_a_list_are_checked_before_any_board_is_touched() -> None:
    with Distributor("127.0.10.1:1") as distributor:
        with pytest.raises(TaskSetError):
            distributor.start([TaskSet([Task(pkg="hey", period=100)]), TaskSet()])
        assert not distributor.boards
