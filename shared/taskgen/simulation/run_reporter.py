"""Reports what a board's tasks do, each event at its time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from taskgen.boards.taskloader_protocol import Answer
from taskgen.event_type import JOB_ENDS, EventType
from taskgen.simulation import frames
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Fault
from taskgen.simulation.frame_sender import FrameSender
from taskgen.simulation.frames import Attributes
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import ScheduledEvent, schedule

if TYPE_CHECKING:
    from taskgen.simulation.simulated_board import SimulatedBoard

_AMBIGUOUS_FRAME_BYTES: Final = int(Answer.GO_SEND)


class RunReporter:
    """Reports the runs of a board, one after the other, to whichever client is connected.

    A run goes on when its client disconnects. What happens before the next one connects is never sent.
    """

    def __init__(self, board: SimulatedBoard) -> None:
        self._board = board
        self._out: FrameSender | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._open: dict[str, None] = {}
        """Ids of the tasks whose job has started and not ended, the oldest first."""
        self._late: list[Attributes] = []
        """Exits that have not been reported yet."""
        self._unreported: list[Attributes] = []
        """STARTs that newer boards keep until some job ends."""

    def connect(self, out: FrameSender) -> None:
        """Report to this client from now on; the connection of the former one is closed."""
        self._out = out

    def start(self, tasks: Sequence[PeriodicTask]) -> None:
        """Run the tasks; a second start during a run has no effect."""
        if self._reporting is not None:
            if not self._reporting.done():
                return
            self._reporting.result()  # raises what went wrong in the former run
        board = self._board
        board.count_run()
        self._late = []
        self._open = {}
        self._unreported = []
        events = schedule(
            tuple(tasks),
            board.seed,
            board.cores,
            frozenset(board.binaries),
            has_admission_test=board.dialect is not Dialect.OLD,
        )
        self._reporting = asyncio.create_task(self._report(events))

    async def kill(self) -> None:
        """Stop the run, and report the jobs that this killed."""
        out = self._connected
        async with out.lock:  # do not cancel in the middle of a frame
            if self._reporting is not None:
                self._reporting.cancel()
        await self.end()
        await out.release()
        killed, self._open = [self.event(EventType.EXIT_EXTERNAL, task_id) for task_id in self._open], {}
        starts, self._unreported = self._unreported, []
        if Fault.LATE_EXIT_EXTERNAL in self._board.faults:
            self._late += killed
            killed = []
        if starts or killed:
            await out.send(frames.profile(starts + killed), starts + killed, run=self._board.runs)

    async def reboot(self) -> None:
        """End the run without a report."""
        await self.end()
        self._open, self._unreported, self._late = {}, [], []

    async def end(self) -> None:
        """Cancel the report and wait for it; raise whatever went wrong there."""
        reporting, self._reporting = self._reporting, None
        if reporting is None:
            return
        reporting.cancel()
        await asyncio.wait([reporting])  # `await reporting` would confuse its cancellation with our own
        if not reporting.cancelled():
            reporting.result()

    def is_running(self, task_id: str) -> bool:
        """Whether the task has a job that has started and not ended."""
        return task_id in self._open

    def invent_late(self, task_id: str) -> None:
        """Give `Fault.LATE_EXIT_EXTERNAL` the exit of this task to report late, if there is no other."""
        if Fault.LATE_EXIT_EXTERNAL in self._board.faults and not self._late:
            self._late = [self.event(EventType.EXIT_EXTERNAL, task_id)]

    async def send_late(self) -> None:
        """Report now what was held back."""
        late, self._late = self._late, []
        for event in late:
            document = frames.profile([event])
            if self._board.seed % 2 == 0:
                document = frames.nul_padded(document, _AMBIGUOUS_FRAME_BYTES)
            await self._connected.send(document, [event], run=self._board.runs, late=Fault.LATE_EXIT_EXTERNAL)

    def event(self, event_type: EventType, task_id: str, time: int | None = None) -> Attributes:
        """An event with this time, or the current one."""
        clock = self._board.clock
        stamp = clock.stamp(clock.now() if time is None else time)
        return {"type": str(event_type), "task-id": task_id, "time-stamp": str(stamp)}

    async def _report(self, events: Iterator[ScheduledEvent]) -> None:
        start = self._board.clock.now()
        for time, happened in groupby(events, attrgetter("time")):
            at_once = list(happened)
            await self._board.clock.until(start + time)
            out = self._connected
            with suppress(ConnectionError):  # the client has gone
                async with out.lock:
                    await self._report_instant(start + time, at_once, out)
        with suppress(ConnectionError):
            await self._connected.release()

    async def _report_instant(self, time: int, happened: Sequence[ScheduledEvent], out: FrameSender) -> None:
        if self._board.faults.strikes(Fault.RESTARTED_CLOCK):
            self._board.clock.restart_stamps(time)
        names = [(self._board.dialect.name_of(event.type), str(event.task_id)) for event in happened]
        events = [self.event(name, task_id, time) for name, task_id in names if name is not None]
        for event in events:
            self._track(event)
        self._unreported += [event for event in events if not self._is_missing(event)]
        is_kept = self._board.dialect is not Dialect.OLD and all(map(_is_start, self._unreported))
        if self._unreported and not is_kept:
            sent, self._unreported = self._unreported, []
            await out.send_run_events(sent, self._board.runs)

    @property
    def _connected(self) -> FrameSender:
        assert self._out is not None  # noqa: S101 - only a client starts runs
        return self._out

    def _is_missing(self, event: Attributes) -> bool:
        return _is_start(event) and self._board.faults.strikes(Fault.MISSING_START)

    def _track(self, event: Attributes) -> None:
        if _is_start(event):
            self._open[event["task-id"]] = None
        elif event["type"] in JOB_ENDS:
            self._open.pop(event["task-id"], None)


def _is_start(event: Attributes) -> bool:
    return event["type"] == EventType.START
