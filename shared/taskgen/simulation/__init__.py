"""A board that needs no hardware: it speaks the Taskloader's protocol and simulates the schedule.

`run_boards` for synchronous code and tests, `SimulatedBoard` inside an asyncio loop, `schedule` alone for
the events of a task-set without any network.
"""

from __future__ import annotations

from taskgen.simulation.background import run_boards
from taskgen.simulation.board import SimulatedBoard
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Fault
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import ScheduledEvent, schedule

__all__ = [
    "Dialect",
    "Fault",
    "PeriodicTask",
    "ScheduledEvent",
    "SimulatedBoard",
    "run_boards",
    "schedule",
]
