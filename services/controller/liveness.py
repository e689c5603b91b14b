"""Which runs are lost: their distributor says nothing any more, or says that it does not run them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.controller.controller import LiveRun
from taskgen.execution.board import BoardState
from taskgen.messages.codec import StatusMessage


@dataclass(slots=True)
class _Absence:
    """A run that is not in its distributor's status."""

    since: float
    was_drained: bool = False
    """Whether the distributor had published everything at some time since: so the run's end, too."""


class LivenessMonitor:
    """Judges by what one connection to the broker has heard; times are `time.monotonic`, in seconds.

    Args:
        lost_after_s: a distributor that is silent for longer has lost its runs.
        began: since when everything would have been heard.
    """

    def __init__(self, lost_after_s: float, began: float) -> None:
        self._lost_after_s = lost_after_s
        self._began = began
        self._heard: dict[str, float] = {}
        self._statuses: dict[str, StatusMessage] = {}
        self._absences: dict[str, _Absence] = {}

    @property
    def running(self) -> dict[str, str]:
        """The task-set of every run that a distributor has lately said to be on."""
        return {
            board.run_id: board.taskset_id
            for status in self._statuses.values()
            for board in status.boards
            if board.state is BoardState.RUNNING and board.run_id
        }

    def hear(self, status: StatusMessage, live: Iterable[LiveRun], at: float) -> None:
        """Take a distributor's status, given the runs that are on as far as is known."""
        self._heard[status.distributor] = at
        self._statuses[status.distributor] = status
        there = {board.run_id for board in status.boards}
        on = {run.run_id: run for run in live}
        self._absences = {run_id: absence for run_id, absence in self._absences.items() if run_id in on}
        for run in on.values():
            if run.distributor != status.distributor:
                continue
            if run.run_id in there:
                self._absences.pop(run.run_id, None)
                continue
            absence = self._absences.setdefault(run.run_id, _Absence(at))
            absence.was_drained |= status.outbox == 0

    def lost(self, live: Iterable[LiveRun], heard: Mapping[str, float], at: float) -> dict[str, str]:
        """The runs that are lost, with the reasons; forgets distributors that are silent.

        Args:
            live: the runs that are on as far as is known.
            heard: when messages other than statuses came, by distributor.
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
                found[run.run_id] = (
                    f"its distributor {name} has not been running it for {self._lost_after_s:g} s"
                )
        for name in [name for name, last in self._heard.items() if at - last > self._lost_after_s]:
            del self._heard[name], self._statuses[name]
        return found
