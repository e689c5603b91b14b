"""What the tests of the stores share: task-sets, events, and ways to get at a store."""

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
from taskgen.taskset import Profile, TaskSet


@dataclass(frozen=True)
class Store:
    """How a test gets at one kind of store; each call opens it anew."""

    make: Callable[[], StoringHandler]
    read: Callable[[], StoreReader]


def event(kind: str, task_id: int, time_stamp: int, **more: Any) -> dict[str, Any]:
    return {"@type": kind, "@task-id": str(task_id), "@time-stamp": str(time_stamp)} | more


def profile(*events: dict[str, Any]) -> Profile:
    return {"profile": {"events": {"event": list(events)}}}


def taskset(**more: Any) -> TaskSet:
    tasks = TaskSet([Task(pkg="hey", period=100, numberofjobs=3, config={"arg1": 42}), Task(pkg="pi")])
    tasks.run = Run("127.0.10.1:3001", received_at="2024-05-06T07:08:09.000001+00:00", **more)
    return tasks


def give(handler: StoringHandler, tasks: TaskSet, first_seq: int, *events: dict[str, Any]) -> bool:
    assert tasks.run is not None
    tasks.run.first_seq = first_seq
    return handler.__taskset_event__(tasks, profile(*events))


def end(handler: StoringHandler, tasks: TaskSet, events: int, outcome: Outcome = Outcome.FINISHED) -> None:
    assert tasks.run is not None
    tasks.run = replace(
        tasks.run, outcome=outcome, events=events, ended_at="2024-05-06T08:00:00.000000+00:00"
    )
    handler.__taskset_finish__(tasks)


def run_id(tasks: TaskSet) -> str:
    assert tasks.run is not None
    return tasks.run.run_id


def stored(store: Store, tasks: TaskSet) -> list[dict[str, Any]]:
    with closing(store.read()) as reader:
        rows = list(reader.events(run_id(tasks)))
    assert [row.seq for row in rows] == list(range(len(rows)))
    return [row.event() for row in rows]


def stored_run(store: Store, tasks: TaskSet) -> Run:
    with closing(store.read()) as reader:
        (run,) = [run for run in reader.runs() if run.run_id == run_id(tasks)]
        return run


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """No file of this process can grow beyond the largest one in the folder."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in folder.rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
