"""Asking for all jobs: the table `jobs` of 800,000 events in SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from taskgen.event_columns import EventColumns, Frame
from taskgen.events.base import Batch
from taskgen.events.sql import SqliteHandler
from taskgen.run import Outcome, Run
from tests.bench.results import Results

_RUNS: Final = 40
_EVENTS: Final = 20_000
_TASKS: Final = 5


def measure(results: Results) -> None:
    """Count the jobs and add up their times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.db"
        with SqliteHandler(path) as handler:
            for number in range(_RUNS):
                events = EventColumns(
                    ["START", "EXIT"] * (_EVENTS // 2),
                    [place // 2 % _TASKS for place in range(_EVENTS)],
                    list(range(_EVENTS)),
                    [Frame(0, "2026-11-25T00:00:00+00:00")],
                )
                run = Run("board", run_id=f"run-{number}", outcome=Outcome.FINISHED, events=_EVENTS)
                tasks = [{"id": task, "pkg": "hey", "period": 10} for task in range(_TASKS)]
                handler._write(Batch(started=[(run, tasks)], events=[(run, events)], ended=[run]))
        with closing(sqlite3.connect(path)) as connection:
            began = time.perf_counter()
            ((count, _),) = connection.execute("SELECT count(*), sum(response_ms) FROM jobs")
            spent_s = time.perf_counter() - began
    assert count == _RUNS * _EVENTS // 2
    results.add(spent_s, "asking for the jobs of 800,000 events", "-", 0.3, unit="s", is_ratio=False)
