"""An event handler that records what it is called with."""

import threading

from taskgen.event import DefaultEventHandler, Profile, Quarantined, Stop
from taskgen.run import Run
from taskgen.taskset import TaskSet
from tests.support.waiting import wait_until


class RecordingHandler(DefaultEventHandler):
    """Decides as the default handler does.

    `calls` are callbacks, but for quarantined bytes, with the run's id; `types` are those of the events.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.threads: set[str] = set()
        self.types: list[str] = []
        self.begun: list[Run] = []
        self.ended: list[Run] = []
        self.quarantined: list[Quarantined] = []

    def __taskset_start__(self, taskset: TaskSet) -> None:
        self._note("start", taskset)
        self.begun.append(_run_of(taskset))

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        self._note("event", taskset)
        self.types += [one["@type"] for one in event["profile"]["events"]["event"]]
        return super().__taskset_event__(taskset, event)

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        self._note("finish", taskset)
        self.ended.append(_run_of(taskset))

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        self._note("stop", taskset)
        self.ended.append(_run_of(taskset))

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        self.quarantined.append(quarantined)

    def wait_for_run(self) -> None:
        """Wait until a task has started, which newer boards say when some job has ended."""
        wait_until(lambda: "START" in self.types, 20, "a run that has begun")

    def _note(self, callback: str, taskset: TaskSet) -> None:
        self.calls.append((callback, _run_of(taskset).run_id))
        self.threads.add(threading.current_thread().name)


def _run_of(taskset: TaskSet) -> Run:
    """The run of a task-set that is being run."""
    assert taskset.run is not None
    return taskset.run
