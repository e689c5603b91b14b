"""The interface of event handlers, which react to what boards report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from taskgen.event_type import JOB_ENDS, EventType
from taskgen.taskset import Profile, TaskSet

__all__ = [
    "JOB_ENDS",
    "AbstractEventHandler",
    "CommittingHandler",
    "DefaultEventHandler",
    "Event",
    "EventType",
    "Profile",
    "Quarantined",
    "Stop",
    "events_of",
]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Bytes from a board that are not valid events; kept for inspection, with the reason."""

    reason: str
    """Why the data is invalid."""
    data: bytes
    """The bytes themselves."""
    board: str
    """`host:port` of the board."""
    received_at: str
    """When they were read from the socket; host's time, UTC, ISO 8601."""
    run_id: str | None = None
    """None if no run was in progress."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a profile, with typed values."""

    type: str
    """Usually one of `EventType`."""
    task_id: int
    """The task's `id`; -1 in a snapshot."""
    time_stamp_ms: int
    """The board's clock: milliseconds since its boot."""


def events_of(profile: Profile) -> list[Event]:
    """The events of a profile that a handler was given, with typed values."""
    events = profile["profile"]["events"]["event"]
    return [Event(one["@type"], int(one["@task-id"]), int(one["@time-stamp"])) for one in events]


@dataclass(frozen=True, slots=True)
class Stop:
    """A reason to stop: what `__taskset_event__` may return instead of False."""

    reason: str
    """One sentence, which becomes the reason of the run's outcome."""

    def __bool__(self) -> bool:
        return False


class AbstractEventHandler(ABC):
    """Reacts to the runs of task-sets; derive from it directly to decide when a run is over.

    All calls come from one thread, one at a time; for each run in the order start, events, then finish or
    stop. `taskset.run` is the run in question.
    """

    def __taskset_start__(self, taskset: TaskSet) -> None:
        """A run begins; nothing has been sent to the board yet."""

    @abstractmethod
    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        """A profile was received: a dictionary as xmltodict makes it, with `event` always a list.

        Returns:
            True if the run continues; False, or a `Stop` with the reason, if the task-set is finished or is
            to be stopped.
        """

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        """The run has ended because all of its tasks have terminated."""

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        """The run has ended for another reason, given by `taskset.run.outcome` and `.reason`."""

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Invalid data was received; `taskset` is None if no run was in progress."""


class DefaultEventHandler(AbstractEventHandler):
    """Updates the tasks' jobs with incoming events; the run is over when all tasks have terminated."""

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        """Update `task.jobs`; return whether a task has not terminated yet."""
        taskset.apply(event)
        return not taskset.is_terminated


class CommittingHandler(DefaultEventHandler):
    """A handler that stores what it receives, in batches: between `begin()` and `commit()` it only collects.

    Once `commit()` has returned, everything since `begin()` is durable and can be acknowledged.
    """

    @abstractmethod
    def begin(self) -> None:
        """Begin a batch."""

    @abstractmethod
    def commit(self) -> None:
        """Store the batch durably; after an error, the batch is still there.

        Raises:
            StoreUnavailableError: the store is unavailable; calling `commit` again may work.
            StoreError: it will never work.
        """

    def take_results(self, taskset: TaskSet) -> None:
        """Store what handlers recorded about a run that has ended: `taskset.run.results`."""

    @abstractmethod
    def give_up(self, reason: str) -> None:
        """Drop the batch, and of its runs store only the end from now on, so that no run has a gap.

        The end of such a run has the number of events that were stored, and this reason.
        """
