"""Admission control data: refused where no board could take it, and understood or harmless on every board."""

from __future__ import annotations

from typing import Any

import pytest

from taskgen.distributor import Distributor
from taskgen.errors import TaskSetError
from taskgen.run import Outcome
from taskgen.simulation import Dialect, run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet


@pytest.mark.parametrize(
    "wrong",
    [
        "fairness",
        ["fairness"],
        {"goal": "fairn\xe4ss"},
        TaskSet([Task(pkg="hey")]),
        Task(pkg="hey"),
        TaskSet([Task(pkg="hey")]).description(),
    ],
)
def test_wrong_admission_control_data_is_refused_at_the_start(wrong: Any) -> None:
    with Distributor("127.0.10.1:1") as distributor:
        with pytest.raises(TaskSetError, match=r"admission control|ASCII XML"):
            distributor.start(TaskSet([Task(pkg="hey")]), wrong)
        assert not distributor.boards


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("goal", ["", "a", "ab", "abc"], ids=len)
def test_admission_control_data_of_any_length_leaves_boards_of_every_generation_usable(
    dialect: Dialect, goal: str
) -> None:
    """The newest take an OPTIMIZE for unknown commands of four bytes each."""
    taskset = TaskSet([Task(pkg="hey", period=100, priority=[1, 2])])
    with (
        run_boards(speed=100, dialect=dialect) as (address,),
        Distributor(address, max_attempts=1, silence_timeout_s=5, probe_timeout_s=0.5) as distributor,
    ):
        campaign = distributor.start(taskset, {"optimize": {"goal": goal}})
    assert campaign.failed == []
    assert campaign.outcomes == {Outcome.FINISHED: 2}
