"""The runs and task-sets that are worked on, read from the state when they are needed."""

from __future__ import annotations

from taskgen.consumer.out_of_order import OutOfOrderMessages
from taskgen.consumer.tracked_run import TrackedRun, rebuilt
from taskgen.errors import UnreadableError
from taskgen.state.rows import TaskSetRow
from taskgen.state.state import State


class KnownRuns:
    """What is in memory of a state; its methods raise what those of `State` do.

    Args:
        state: where the rest is.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.tracks: dict[str, TrackedRun | None] = {}
        """By run id; None: closed, a message that still comes is a duplicate."""
        self.tasksets: dict[str, TaskSetRow | None] = {}

    def track(self, run_id: str) -> TrackedRun | None:
        """A run, whether its start has come or not; None if it is closed.

        Raises:
            UnreadableError: what the state holds of it cannot be understood.
        """
        if run_id not in self.tracks:
            self.tracks[run_id] = self._rebuilt(run_id)
        return self.tracks[run_id]

    def taskset(self, taskset_id: str) -> TaskSetRow | None:
        """A task-set, if it is known."""
        if taskset_id not in self.tasksets:
            self.tasksets[taskset_id] = self._state.taskset(taskset_id)
        return self.tasksets[taskset_id]

    def release(self) -> None:
        """Let go of closed runs, and of the task-sets that no other run is of."""
        self.tracks = {
            run_id: track for run_id, track in self.tracks.items() if track and (track.known or track.early)
        }
        needed = {track.known.row.taskset_id for track in self.tracks.values() if track and track.known}
        self.tasksets = {name: row for name, row in self.tasksets.items() if name in needed}

    def clear(self) -> None:
        """Forget all: the state has it."""
        self.tracks.clear()
        self.tasksets.clear()

    def _rebuilt(self, run_id: str) -> TrackedRun | None:
        row = self._state.run(run_id)
        if row is not None and row.is_closed:
            return None
        track = TrackedRun(run_id, OutOfOrderMessages(run_id, self._state.early_ids(run_id)))
        if row is not None:
            if (taskset := self.taskset(row.taskset_id)) is None:
                raise UnreadableError(f"there is no task-set {row.taskset_id}")
            track.known = rebuilt(row, taskset.message, self._state.jobs(run_id))
        return track
