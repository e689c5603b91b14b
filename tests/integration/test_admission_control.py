"""Admission control data that no board could take is refused before any board is touched."""

from __future__ import annotations

from typing import Any

import pytest

from taskgen.distributor import Distributor
from taskgen.errors import TaskSetError
from taskgen.task import Task
from taskgen.taskset import TaskSet


@pytest.mark.parametrize("wrong", ["fairness", ["fairness"], {"goal": "fairn\xe4ss"}])
def test_wrong_admission_control_data_is_refused_at_the_start(wrong: Any) -> None:
    with Distributor("127.0.10.1:1") as distributor:
        with pytest.raises(TaskSetError, match=r"admission control|ASCII XML"):
            distributor.start(TaskSet([Task(pkg="hey")]), wrong)
        assert not distributor.boards
