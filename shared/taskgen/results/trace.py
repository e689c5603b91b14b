"""Writes the schedules of runs as a Perfetto trace, for its viewer and for queries in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from taskgen.event_type import EventType
from taskgen.metrics import JobRow, distance_ms
from taskgen.results.dataset import Dataset, RunResult
from taskgen.results.trace_packets import TracePackets, open_trace


def write_trace(dataset: Dataset, path: Path) -> int:
    """Write the jobs of the runs that are counted; returns their number.

    Each board is a process, with a track for each of its runs, below which is a track for each task. A job is
    a slice from its release to its end, named by its exit type; its arguments are the columns that
    docs/time.md defines. Refused jobs, jobs whose release or end is unknown, and deadlines are instants. The
    categories are `run`, `job` and `deadline`.

    Time 0 is the first release on each board; from there on, the board's own clock counts. After a reboot,
    the next run follows the one before. The clocks of two boards are unrelated.

    Raises:
        SettingsError: the package `perfetto` is not installed.
        OSError: the file cannot be written.
    """
    jobs = 0
    with open_trace(path) as packets:
        boards: dict[str, _Board] = {}
        for run in dataset.complete:
            board = boards.get(run.run.board)
            if board is None:
                board = boards[run.run.board] = _Board(packets.process(run.run.board))
            jobs += _write_run(packets, dataset, run, board)
    return jobs


def _write_run(packets: TracePackets, dataset: Dataset, run: RunResult, board: _Board) -> int:
    """Write a run's track and those of its tasks; returns the number of its jobs."""
    placed = board.place(_times(dataset.jobs(run)))
    if placed is None:  # it has no jobs
        return 0
    track = packets.track(board.track, f"run {run.run.run_id[-8:]}")
    packets.slice(track, placed.span_ms, "run", run.name, _run_facts(run))
    pkgs = {int(task["id"]): str(task.get("pkg") or "") for task in run.tasks}
    tracks: dict[int, int] = {}
    count = 0
    for count, job in enumerate(dataset.jobs(run), 1):  # noqa: B007 - the number of the last one
        if job.task_id not in tracks:
            tracks[job.task_id] = packets.track(track, f"{job.task_id} {pkgs.get(job.task_id, '')}".rstrip())
        _write_job(packets, tracks[job.task_id], job, placed)
    return count


def _run_facts(run: RunResult) -> dict[str, object]:
    outcome = run.run.outcome.value if run.run.outcome else None
    return {
        "run_id": run.run.run_id,
        "board": run.run.board,
        "variant": run.run.variant,
        "attempt": run.run.attempt,
        "outcome": outcome,
        "reason": run.run.reason or None,
        "started_at": run.run.started_at,
        **run.variant.parameters,
    }


def _write_job(packets: TracePackets, track: int, job: JobRow, placed: _Placed) -> None:
    name = (job.exit_type or "end unknown") + (" (miss)" if job.is_miss else "")
    begin_ms, end_ms = placed.at(job.release_ms), placed.at(job.end_ms)
    if begin_ms is None or end_ms is None or end_ms < begin_ms or job.exit_type == EventType.NOT_SCHEDULED:
        packets.instant(track, begin_ms or end_ms or 0, "job", name, job._asdict())
    else:
        packets.slice(track, (begin_ms, end_ms), "job", name, job._asdict())
    if begin_ms is not None and job.deadline_ms is not None:
        name = "deadline missed" if job.is_miss else "deadline"
        packets.instant(track, begin_ms + job.deadline_ms, "deadline", name, {"job": job.job})


def _times(jobs: Iterable[JobRow]) -> Iterator[int]:
    """All time stamps of jobs."""
    return (time_ms for job in jobs for time_ms in (job.release_ms, job.end_ms) if time_ms is not None)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a run is in the trace."""

    origin_ms: int
    """One of its time stamps."""
    origin_at_ms: int
    """Where that is in the trace."""
    span_ms: tuple[int, int]
    """Where the run begins and ends in the trace."""

    def at(self, time_ms: int | None) -> int | None:
        """Where a time stamp is in the trace; None if its distance is unknown."""
        if time_ms is None:
            return None
        passed_ms = distance_ms(self.origin_ms, time_ms)
        return None if passed_ms is None else self.origin_at_ms + passed_ms


@dataclass(slots=True)
class _Board:
    """The process of a board, and the run that was placed last."""

    track: int
    last: _Placed | None = None

    def place(self, times_ms: Iterator[int]) -> _Placed | None:
        """Place the next run, which has these time stamps; None if it has none."""
        origin_ms = next(times_ms, None)
        if origin_ms is None:
            return None
        before_ms = after_ms = 0
        for time_ms in times_ms:
            passed_ms = distance_ms(origin_ms, time_ms) or 0
            before_ms, after_ms = min(before_ms, passed_ms), max(after_ms, passed_ms)
        at_ms = -before_ms
        if self.last is not None:
            by_clock_ms = self.last.at(origin_ms)
            at_ms = max(self.last.span_ms[1] - before_ms, by_clock_ms or 0)
        self.last = _Placed(origin_ms, at_ms, (at_ms + before_ms, at_ms + after_ms))
        return self.last
