"""What boards report, and the interface of everything that reacts to it."""

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
    "EventType",
    "Profile",
    "Quarantined",
]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Bytes from a board that could not be taken as events: kept, with the reason, for people to look at."""

    reason: str
    """Why they could not be taken as events."""
    data: bytes
    """The bytes themselves."""
    board: str
    """`host:port` of the board."""
    received_at: str
    """When they were read from the socket; host's time, UTC, ISO 8601."""
    run_id: str | None = None
    """None where no run was going on, and so none can be blamed."""


class AbstractEventHandler(ABC):
    """Reacts to the runs of task-sets; start here to decide by yourself when one continues.

    All calls come from one thread, one at a time; for one run in the order start, events, then finish or
    stop. `taskset.run` tells which run it is.
    """

    def __taskset_start__(self, taskset: TaskSet) -> None:
        """A run begins: nothing was sent to the board yet."""

    @abstractmethod
    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        """Take one profile: the dictionary of xmltodict, `event` always a list, attributes with `@`.

        Returns:
            True while the task-set is running; False if it is finished or is to be cancelled.
        """

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        """The run has ended because all its tasks are terminated."""

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        """The run has ended for another reason: `taskset.run.outcome` and `.reason` say which."""

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        """Something was received that is no event; `taskset` is None where no run was going on."""


class DefaultEventHandler(AbstractEventHandler):
    """Updates the tasks' jobs with incoming events and stops when all tasks are terminated."""

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        """Update `task.jobs`; say whether a task is left that is not terminated."""
        taskset.apply(event)
        return not taskset.is_terminated


class CommittingHandler(DefaultEventHandler):
    """A handler that keeps what it is given: between `begin()` and `commit()` it only collects.

    Whoever calls it may acknowledge what was given once `commit()` has returned.
    """

    @abstractmethod
    def begin(self) -> None:
        """From now on collect, until `commit()`."""

    @abstractmethod
    def commit(self) -> None:
        """Keep what was collected since `begin()`, durably; on an error it is still collected.

        Raises:
            StoreUnavailableError: not now; calling it again may work.
            StoreError: it will never work.
        """

    @abstractmethod
    def give_up(self, reason: str) -> None:
        """What was collected since `begin()` is lost: of the runs that it is of, keep their end and no more.

        So what is kept of a run has no gap. Its end tells as many events as were kept, and this reason.
        """
