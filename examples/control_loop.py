"""Task-sets as Python: `taskgen run examples.control_loop:taskset`, or `…:sweep`, or `…:endless`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from taskgen.task import Task
from taskgen.taskset import TaskSet

SENSOR = {"pkg": "hey", "priority": 10, "period": 50, "numberofjobs": 10}
CONTROL = {"pkg": "cond_mod", "priority": 20, "period": 100, "numberofjobs": 5}

taskset = TaskSet([Task(SENSOR), Task(CONTROL, config={"arg1": 40})])
"""An object: one variant."""


def sweep() -> TaskSet:
    """A function that returns one: ranges and lists make variants, here 3 * 128."""
    control = Task(CONTROL, priority=range(128), config={"arg1": [20, 40, 60]})
    return TaskSet([Task(SENSOR), control])


def endless() -> Iterator[Task]:
    """Tasks alone are enough; a generator's values are drawn one by one, here until Ctrl-C."""
    yield Task(SENSOR)
    yield Task(CONTROL, config={"arg1": itertools.count(1)})
