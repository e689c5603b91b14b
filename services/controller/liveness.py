"""Decides which runs are lost: their distributor is silent, or does not report them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.controller.controller import LiveRun
from taskgen.execution.board import BoardState
from taskgen.messages.codec import StatusMessage


@dataclass(slots=True)
class _Absence:
    """A run that its distributor does not report."""

    since: float
    was_drained: bool = False
    """Whether the distributor's outbox was empty at some time since: the run's end, too, was published."""


class LivenessMonitor:
    """Judges by the messages on one connection to the broker; times are `time.monotonic`, in seconds.

    Args:
        lost_after_s: a run is lost after its distributor was silent, or did not report it, for longer.
        began: when listening began.
    """

    def __init__(self, lost_after_s: float, began: float) -> None:
        self._lost_after_s = lost_after_s
        self._began = began
        self._heard: dict[str, float] = {}
        self._statuses: dict[str, StatusMessage] = {}
        self._absences: dict[str, _Absence] = {}

    @property
    def running(self) -> dict[str, str]:
        """The task-set id of every run that a distributor reports to be running, by run id."""
        return {
            board.run_id: board.taskset_id
            for status in self._statuses.values()
            for board in status.boards
            if board.state is BoardState.RUNNING and board.run_id
        }

    def hear(self, status: StatusMessage, live: Iterable[LiveRun], at: float) -> None:
        """Take a distributor's status, given all live runs."""
        self._heard[status.distributor] = at
        self._statuses[status.distributor] = status
        reported = {board.run_id for board in status.boards}
        runs = {run.run_id: run for run in live}
        self._absences = {run_id: absence for run_id, absence in self._absences.items() if run_id in runs}
        for run in runs.values():
            if run.distributor != status.distributor:
                continue
            if run.run_id in reported:
                self._absences.pop(run.run_id, None)
                continue
            absence = self._absences.setdefault(run.run_id, _Absence(at))
            absence.was_drained |= status.outbox == 0

    def lost(self, live: Iterable[LiveRun], heard: Mapping[str, float], at: float) -> dict[str, str]:
        """The runs that are lost, with the reason for each; forgets silent distributors.

        Args:
            live: all live runs.
            heard: when the last message other than a status arrived, by distributor.
            at: now.
        """
        found: dict[str, str] = {}
        for run in live:
            name = run.distributor
            last = max(self._began, self._heard.get(name, self._began), heard.get(name, self._began))
            absence = self._absences.get(run.run_id)
            if at - last > self._lost_after_s:
                found[run.run_id] = f"its distributor {name} has been silent for {self._lost_after_s:g} s"
            elif absence and absence.was_drained and at - absence.since > self._lost_after_s:
                found[run.run_id] = f"its distributor {name} has not reported it for {self._lost_after_s:g} s"
        for name in [name for name, last in self._heard.items() if at - last > self._lost_after_s]:
            del self._heard[name], self._statuses[name]
        return found
