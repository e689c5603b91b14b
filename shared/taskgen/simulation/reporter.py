"""What a board's tasks do while a client listens, said at its time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import Final, Protocol

from taskgen.boards.protocol import Answer
from taskgen.event_type import JOB_ENDS, EventType
from taskgen.simulation import frames
from taskgen.simulation.clock import Clock
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Fault, Faults
from taskgen.simulation.frames import Attributes
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import ScheduledEvent, schedule
from taskgen.simulation.transmission import Events, Transmission

_NASTY_FRAME_BYTES: Final = int(Answer.GO_SEND)


class Host(Protocol):
    """What a conversation needs of its board; this outlives the connection."""

    address: str
    seed: int
    cores: int
    dialect: Dialect
    clock: Clock
    faults: Faults
    binaries: dict[str, str]
    connections: int
    runs: int

    def tell(self, events: Events, **more: str | int) -> None:
        """Write down what was said."""

    def reboot(self) -> None:
        """Forget all that a reboot loses."""


class Reporter:
    """Reports the runs of one connection, one after the other."""

    def __init__(self, board: Host, out: Transmission) -> None:
        self._board = board
        self._out = out
        self._reporting: asyncio.Task[None] | None = None
        self._open: dict[str, None] = {}
        """Ids of the tasks with a job that was started and not ended, the oldest first."""
        self._late: list[Attributes] = []
        """What was killed and is not told yet."""

    def start(self, tasks: Sequence[PeriodicTask]) -> None:
        """Run the tasks; while they run a second start changes nothing."""
        if self._reporting is not None and not self._reporting.done():
            return
        board = self._board
        board.runs += 1
        self._late = []
        self._open = {}
        events = schedule(tuple(tasks), board.seed, board.cores, frozenset(board.binaries))
        self._reporting = asyncio.create_task(self._report(events))

    async def kill(self) -> None:
        """Stop the run, and say whose jobs that killed."""
        async with self._out.lock:  # what reports must not be cancelled in the middle of a frame
            if self._reporting is not None:
                self._reporting.cancel()
        await self.end()
        await self._out.release()
        killed, self._open = [self.event(EventType.EXIT_EXTERNAL, task_id) for task_id in self._open], {}
        if Fault.LATE_EXIT_EXTERNAL in self._board.faults:
            self._late += killed
        elif killed:
            await self._out.send(frames.profile(killed), killed, run=self._board.runs)

    async def end(self) -> None:
        """Wait until nothing is reported; what went wrong there is raised here."""
        reporting, self._reporting = self._reporting, None
        if reporting is None:
            return
        reporting.cancel()
        await asyncio.wait(
            [reporting]
        )  # unlike `await reporting` it tells our own cancellation from that one
        if not reporting.cancelled():
            with suppress(ConnectionError):
                reporting.result()

    def is_running(self, task_id: str) -> bool:
        """Whether the task has a job that was started and not ended."""
        return task_id in self._open

    def make_up_late(self, task_id: str) -> None:
        """If `Fault.LATE_EXIT_EXTERNAL` has nothing to tell late, let it be the end of this task's job."""
        if Fault.LATE_EXIT_EXTERNAL in self._board.faults and not self._late:
            self._late = [self.event(EventType.EXIT_EXTERNAL, task_id)]

    async def tell_late(self) -> None:
        """Say now what was held back."""
        late, self._late = self._late, []
        for event in late:
            document = frames.profile([event])
            if self._board.seed % 2 == 0:
                document = frames.padded(document, _NASTY_FRAME_BYTES)
            await self._out.send(document, [event], run=self._board.runs, late=Fault.LATE_EXIT_EXTERNAL)

    def event(self, event_type: EventType, task_id: str, time: int | None = None) -> Attributes:
        """An event of this time, or of now."""
        clock = self._board.clock
        stamp = clock.stamp(clock.now() if time is None else time)
        return {"type": str(event_type), "task-id": task_id, "time-stamp": str(stamp)}

    async def _report(self, events: Iterator[ScheduledEvent]) -> None:
        start = self._board.clock.now()
        for time, happened in groupby(events, attrgetter("time")):
            at_once = list(happened)
            await self._board.clock.until(start + time)
            async with self._out.lock:
                await self._report_instant(start + time, at_once)
        await self._out.release()

    async def _report_instant(self, time: int, happened: Sequence[ScheduledEvent]) -> None:
        if self._board.faults.strikes(Fault.RESTARTED_CLOCK):
            self._board.clock.restart_stamps(time)
        words = [(self._board.dialect.word_for(event.type), str(event.task_id)) for event in happened]
        events = [self.event(word, task_id, time) for word, task_id in words if word is not None]
        for event in events:
            self._follow(event)
        said = [event for event in events if not self._is_missing(event)]
        if said:
            await self._out.send_of_run(said, self._board.runs)

    def _is_missing(self, event: Attributes) -> bool:
        return event["type"] == EventType.START and self._board.faults.strikes(Fault.MISSING_START)

    def _follow(self, event: Attributes) -> None:
        if event["type"] == EventType.START:
            self._open[event["task-id"]] = None
        elif event["type"] in JOB_ENDS:
            self._open.pop(event["task-id"], None)
