"""Runs with events that a test chooses, written straight into a store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskgen.events.sql import SqliteHandler
from taskgen.run import CampaignFacts, Outcome, Run
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import event, profile_of

PERIOD_MS = 100
_ENDED_AT = "2026-01-01T00:01:00.000000+00:00"

TimedEvent = tuple[str, int, int]
"""Type, task id and time stamp of an event."""


def campaign(name: str) -> CampaignFacts:
    """A campaign of that name."""
    return CampaignFacts(name=name, taskgen_version="0", python_version="3")


def jobs(
    responses_ms: Iterable[int], task_id: int = 0, end: str = "EXIT", first_ms: int = 5_000
) -> list[TimedEvent]:
    """The events of jobs that follow one another, each released at the begin of a period."""
    found: list[TimedEvent] = []
    for number, response_ms in enumerate(responses_ms):
        release_ms = first_ms + number * PERIOD_MS
        found += [("START", task_id, release_ms), (end, task_id, release_ms + response_ms)]
    return found


def store_run(
    path: Path,
    facts: CampaignFacts,
    events: Sequence[TimedEvent],
    tasks: Sequence[Task] = (),
    *,
    parameters: Mapping[str, Any] | None = None,
    source: str = "a.json",
    outcome: Outcome = Outcome.FINISHED,
    is_complete: bool = True,
) -> str:
    """Write one run, and return its id.

    Args:
        path: of the database.
        facts: of its campaign.
        events: in the order of their `seq`.
        tasks: of its task-set. Default: one of `hey`.
        parameters: those that vary, with their values.
        source: file that the task-set comes from.
        outcome: how it ended.
        is_complete: whether all of its events are stored.
    """
    tasks = tasks or [Task(pkg="hey", period=PERIOD_MS, deadline=40, numberofjobs=3)]
    taskset = TaskSet(list(tasks))
    varying = dict(parameters or {})
    taskset.run = Run("127.0.10.1:3001", source=source, parameters=varying, campaign=facts)
    with SqliteHandler(path) as store:
        store.begin()
        store.__taskset_start__(taskset)
        if events:
            store.__taskset_event__(taskset, profile_of(*(event(*one) for one in events)))
        taskset.run = dataclasses.replace(
            taskset.run, outcome=outcome, ended_at=_ENDED_AT, events=len(events) + (not is_complete)
        )
        store.__taskset_finish__(taskset)
        store.commit()
    return taskset.run.run_id
