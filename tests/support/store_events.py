"""Giving events of a run to a store, and reading back what it holds."""

import resource
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskgen.events.base import StoringHandler
from taskgen.events.readers import StoreReader
from taskgen.run import Outcome, Run
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import profile_of


@dataclass(frozen=True)
class Store:
    """How a test opens one kind of store to write and to read; each call opens it again."""

    make: Callable[[], StoringHandler]
    read: Callable[[], StoreReader]


def taskset(**more: Any) -> TaskSet:
    """A task-set that is being run; `more` are fields of its run."""
    tasks = TaskSet([Task(pkg="hey", period=100, numberofjobs=3, config={"arg1": 42}), Task(pkg="pi")])
    tasks.run = Run("127.0.10.1:3001", received_at="2024-05-06T07:08:09.000001+00:00", **more)
    return tasks


def give(handler: StoringHandler, tasks: TaskSet, first_seq: int, *events: dict[str, Any]) -> bool:
    """Give a profile of these events to a store, whose decision is returned."""
    assert tasks.run is not None
    tasks.run.first_seq = first_seq
    return bool(handler.__taskset_event__(tasks, profile_of(*events)))


def end_run(
    handler: StoringHandler, tasks: TaskSet, events: int, outcome: Outcome = Outcome.FINISHED
) -> None:
    """End the run after that many events."""
    assert tasks.run is not None
    tasks.run = replace(
        tasks.run, outcome=outcome, events=events, ended_at="2024-05-06T08:00:00.000000+00:00"
    )
    handler.__taskset_finish__(tasks)


def run_id(tasks: TaskSet) -> str:
    """The id of the task-set's run."""
    assert tasks.run is not None
    return tasks.run.run_id


def stored(store: Store, tasks: TaskSet) -> list[dict[str, Any]]:
    """The events of the run that a store holds, numbered without a gap."""
    with closing(store.read()) as reader:
        rows = list(reader.events(run_id(tasks)))
    assert [row.seq for row in rows] == list(range(len(rows)))
    return [row.event() for row in rows]


def stored_run(store: Store, tasks: TaskSet) -> Run:
    """The run as a store holds it."""
    with closing(store.read()) as reader:
        (run,) = [run for run in reader.runs() if run.run_id == run_id(tasks)]
        return run


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Let no file of this process grow beyond the largest one in the folder."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in folder.rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
