"""Simulated boards: they speak the Taskloader's protocol, simulate the schedule, and need no hardware.

Use `run_boards` in synchronous code and tests, `SimulatedBoard` inside an asyncio loop, and `schedule` for
the events of a task-set without any network.
"""

from __future__ import annotations

from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Fault
from taskgen.simulation.launch import run_boards
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import ScheduledEvent, schedule
from taskgen.simulation.simulated_board import SimulatedBoard

__all__ = [
    "Dialect",
    "Fault",
    "PeriodicTask",
    "ScheduledEvent",
    "SimulatedBoard",
    "run_boards",
    "schedule",
]
