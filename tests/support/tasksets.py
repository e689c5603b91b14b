"""Task-sets that many tests run: some end by themselves, one runs until it is stopped."""

from typing import Any

from taskgen.task import Task
from taskgen.taskset import TaskSet

TWO_JOBS = TaskSet([Task(pkg="hey", period=10, numberofjobs=2)])
TWO_SHORT_RUNS = TaskSet([Task(pkg="hey", period=50, numberofjobs=[2, 3], priority=1)])


def one_task(**parameters: Any) -> TaskSet:
    """A task that ends by itself; a parameter with several values makes variants."""
    return TaskSet([Task(pkg="hey", **parameters)])


def two_tasks(**parameters: Any) -> TaskSet:
    """Two tasks that end by themselves; the parameters are those of the first."""
    return TaskSet([Task(pkg="hey", **parameters), Task(pkg="pi")])


def endless_task(**parameters: Any) -> TaskSet:
    """A task that runs until it is stopped."""
    return TaskSet([Task(pkg="idle", **parameters)])


def endless_and_short_task() -> TaskSet:
    """A task that runs until it is stopped, and one that ends, with whose end boards report both."""
    return TaskSet([Task(pkg="idle"), Task(pkg="hey", coreoffset=1)])
