"""`taskgen` as a real process, and what it leaves behind."""

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
    """A plain terminal-less environment of a known width."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    return kept | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"} | more


def taskgen(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "taskgen", *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def started(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a command; to be used as a context manager."""
    return subprocess.Popen(
        [sys.executable, "-m", "taskgen", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def taskset_file(folder: Path, *tasks: dict[str, Any]) -> Path:
    """A JSON file of these tasks."""
    path = folder / "taskset.json"
    path.write_text(json.dumps({"taskset": {"periodictask": list(tasks)}}))
    return path


Said = Counter[tuple[str, str, str]]


def said(truth: Path) -> Said:
    """What boards said: board, type and time stamp of each event."""
    lines = map(json.loads, truth.read_text().splitlines())
    return Counter((line["board"], line["@type"], line["@time-stamp"]) for line in lines)


def stored(database: Path) -> Said:
    """What a database holds, in the same form."""
    return Counter(
        (run.board, row.type, str(row.time_stamp))
        for run in read_runs(database)
        for row in read_events(database, run.run_id)
    )


def stored_in_csv(path: Path) -> Said:
    """What a CSV file holds, in the same form."""
    with path.open(newline="") as file:
        return Counter((row["board"], row["type"], row["time_stamp"]) for row in csv.DictReader(file))
