"""Handlers that a user might write, for services that load them by name."""

from __future__ import annotations

from taskgen.event import DefaultEventHandler, Profile, Stop
from taskgen.taskset import TaskSet


class StopAtFirstExit(DefaultEventHandler):
    """Stops a run at its first job that ends by itself."""

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        is_running = super().__taskset_event__(taskset, event)
        return is_running and not any(job.exit_type == "EXIT" for task in taskset for job in task.jobs)


class RecordsAndStops(StopAtFirstExit):
    """Says why it stops a run, and records the number of jobs that it saw."""

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        is_running = super().__taskset_event__(taskset, event)
        assert taskset.run is not None
        taskset.run.record(jobs_seen=sum(len(task.jobs) for task in taskset))
        return is_running or Stop("a job ended by itself")
