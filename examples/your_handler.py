"""Your own event handler: `taskgen run … --handler examples.your_handler:StopAtMiss`."""

from __future__ import annotations

from taskgen.event import DefaultEventHandler, EventType, Profile
from taskgen.taskset import TaskSet

MISSES = {EventType.EXIT_CRITICAL, EventType.EXIT_PERIOD}


class StopAtMiss(DefaultEventHandler):
    """Ends a run as soon as a job was killed at its critical time or by its next period."""

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        """Decide as the default does, but end the run at a miss."""
        running = super().__taskset_event__(taskset, event)
        return running and not any(job.exit_type in MISSES for task in taskset for job in task.jobs)
