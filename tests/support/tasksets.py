"""Task-sets that many tests run: some end by themselves, one runs until it is stopped.

All of their tasks have a period, because newer boards start no others.
"""

from typing import Any, Final

from taskgen.task import Task
from taskgen.taskset import TaskSet

ONCE: Final = 10_000
"""Period in ms of a task whose only job ends by itself."""
ENDLESS: Final = 10**9
"""Period in ms of a task whose only job runs until it is stopped; a board would kill it after one period."""

TWO_JOBS = TaskSet([Task(pkg="hey", period=10, numberofjobs=2)])
TWO_SHORT_RUNS = TaskSet([Task(pkg="hey", period=50, numberofjobs=[2, 3], priority=1)])


def one_task(**parameters: Any) -> TaskSet:
    """A task that ends by itself; a parameter with several values makes variants."""
    return TaskSet([Task({"pkg": "hey", "period": ONCE}, parameters)])


def two_tasks(**parameters: Any) -> TaskSet:
    """Two tasks that end by themselves; the parameters are those of the first."""
    return TaskSet([Task({"pkg": "hey", "period": ONCE}, parameters), Task(pkg="pi", period=ONCE)])


def endless_task(**parameters: Any) -> TaskSet:
    """A task that runs until it is stopped."""
    return TaskSet([Task({"pkg": "idle", "period": ENDLESS}, parameters)])


def endless_and_short_task(**parameters: Any) -> TaskSet:
    """A task that runs until it is stopped, and one that ends, with whose end boards report both.

    The parameters are those of the first.
    """
    endless = Task({"pkg": "idle", "period": ENDLESS}, parameters)
    return TaskSet([endless, Task(pkg="hey", coreoffset=1, period=ONCE)])
