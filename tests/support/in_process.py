"""What the tests of the distributor share: task-sets, and a handler that writes down."""

import threading
from typing import Any

from taskgen.event import DefaultEventHandler
from taskgen.task import Task
from taskgen.taskset import Profile, TaskSet
from tests.support.waiting import wait_until


class Log(DefaultEventHandler):
    """Writes down what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.runs: list[Any] = []
        self.threads: set[str] = set()
        self.types: list[str] = []

    def __taskset_start__(self, taskset: TaskSet) -> None:
        self._note("start", taskset)

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        self._note("event", taskset)
        self.types += [one["@type"] for one in event["profile"]["events"]["event"]]
        return super().__taskset_event__(taskset, event)

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        self._note("finish", taskset)
        self.runs.append(taskset.run)

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        self._note("stop", taskset)
        self.runs.append(taskset.run)

    def _note(self, what: str, taskset: TaskSet) -> None:
        assert taskset.run is not None
        self.calls.append((what, taskset.run.run_id))
        self.threads.add(threading.current_thread().name)


def finite(**more: Any) -> TaskSet:
    return TaskSet([Task(pkg="hey", **more), Task(pkg="pi")])


def endless(**more: Any) -> TaskSet:
    return TaskSet([Task(pkg="idle", **more)])


def wait_for_run(log: Log) -> None:
    wait_until(lambda: "START" in log.types, 20, "a run that has begun")
