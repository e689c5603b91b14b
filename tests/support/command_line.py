"""The `taskgen` command as a real process, and the events that it leaves behind."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from taskgen.events.sql import read_events, read_runs

DEADLINE_S = 60


def environment(**more: str) -> dict[str, str]:
    """An environment without a terminal, of a known width."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    return kept | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"} | more


def run_taskgen(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `more` are variables of its environment."""
    return subprocess.run(
        [sys.executable, "-m", "taskgen", *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def start_taskgen(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a command; to be used as a context manager."""
    return subprocess.Popen(
        [sys.executable, "-m", "taskgen", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_taskset(folder: Path, *tasks: dict[str, Any]) -> Path:
    """Write a JSON file of these tasks."""
    path = folder / "taskset.json"
    path.write_text(json.dumps({"taskset": {"periodictask": list(tasks)}}))
    return path


EventCounts = Counter[tuple[str, str, str]]
"""How often there is an event of that board, type and time stamp."""


def events_in_truth(path: Path) -> EventCounts:
    """The events in the file where simulated boards note all that they send."""
    lines = map(json.loads, path.read_text().splitlines())
    return Counter((line["board"], line["@type"], line["@time-stamp"]) for line in lines)


def events_in_database(path: Path) -> EventCounts:
    """The events in an SQLite store."""
    return Counter(
        (run.board, row.type, str(row.time_stamp))
        for run in read_runs(path)
        for row in read_events(path, run.run_id)
    )


def events_in_csv(path: Path) -> EventCounts:
    """The events in a CSV store."""
    with path.open(newline="") as file:
        return Counter((row["board"], row["type"], row["time_stamp"]) for row in csv.DictReader(file))
