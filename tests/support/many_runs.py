"""A campaign of very many short runs, written straight into a store."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from taskgen.events.sql import SqliteHandler
from taskgen.run import CampaignFacts, Outcome, Run
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import event, profile_of

_JOBS = 3
_PERIOD_MS = 100
_ENDED_AT = "2026-01-01T00:01:00.000000+00:00"


def store_many_runs(path: Path, count: int) -> None:
    """Write so many runs, each of a variant of its own; every hundredth one is lost with its board."""
    facts = CampaignFacts(name="many runs", taskgen_version="0", python_version="3")
    with SqliteHandler(path) as store:
        store.begin()
        for number in range(count):
            tasks = _variant(number, facts)
            store.__taskset_start__(tasks)
            store.__taskset_event__(tasks, profile_of(*_events(number)))
            _end(store, tasks, number)
        store.commit()


def _variant(number: int, facts: CampaignFacts) -> TaskSet:
    """Two parameters vary: one with few values, one with many."""
    priority, argument = number % 5, number // 5
    tasks = TaskSet(
        [
            Task(pkg="hey", period=_PERIOD_MS, numberofjobs=_JOBS, priority=10),
            Task(pkg="tumatmul", period=_PERIOD_MS, numberofjobs=_JOBS, config={"arg1": argument}),
        ]
    )
    parameters = {"task1.priority": priority, "task1.config.arg1": argument}
    tasks.run = Run(f"127.0.10.{number % 20 + 1}:3001", variant=number, parameters=parameters, campaign=facts)
    return tasks


def _response_ms(number: int) -> int:
    return 5 + number * 37 % 103


def _events(number: int) -> Iterator[dict[str, object]]:
    for job in range(_JOBS):
        release_ms = 5_000 + job * 2 * _PERIOD_MS
        for task_id, response_ms in ((0, 2 + job), (1, _response_ms(number))):
            yield event("START", task_id, release_ms)
            yield event("EXIT", task_id, release_ms + response_ms)


def _end(store: SqliteHandler, tasks: TaskSet, number: int) -> None:
    assert tasks.run is not None
    outcome = Outcome.FINISHED if number % 100 else Outcome.BOARD_LOST
    reason = "" if number % 100 else "the board has disconnected"
    tasks.run = dataclasses.replace(
        tasks.run, outcome=outcome, reason=reason, ended_at=_ENDED_AT, events=4 * _JOBS
    )
    store.__taskset_finish__(tasks)
