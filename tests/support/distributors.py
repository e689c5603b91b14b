"""What the tests of the distributor's faults share: task-sets, a handler that writes down, a run's end."""

from typing import Any

from taskgen.boards.protocol import Command
from taskgen.event import DefaultEventHandler, Profile, Quarantined
from taskgen.run import Run
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.scripted_board import Line


class Log(DefaultEventHandler):
    """Writes down events, runs and what was quarantined."""

    def __init__(self) -> None:
        super().__init__()
        self.types: list[str] = []
        self.begun: list[Run] = []
        self.ended: list[Run] = []
        self.quarantined: list[Quarantined] = []

    def __taskset_start__(self, taskset: TaskSet) -> None:
        assert taskset.run is not None
        self.begun.append(taskset.run)

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        self.types += [one["@type"] for one in event["profile"]["events"]["event"]]
        return super().__taskset_event__(taskset, event)

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        assert taskset.run is not None
        self.ended.append(taskset.run)

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        self.__taskset_finish__(taskset)

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        self.quarantined.append(quarantined)


def endless() -> TaskSet:
    return TaskSet([Task(pkg="idle")])


def finite(**more: Any) -> TaskSet:
    return TaskSet([Task(pkg="hey", **more)])


def end_of_run(line: Line) -> None:
    line.send_events(("START", 0, 1), ("EXIT", 0, 2), ("JOBS_DONE", 0, 2))
    line.obey_until(Command.AVAILABLE)
