"""What stands in an argument, a file or a store is shown without it acting on the terminal."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from rich.live import Live

from taskgen.cli.miss_counter import Misses
from taskgen.cli.progress import LiveDisplay, PlainDisplay, Snapshot
from taskgen.cli.summary import Summary
from taskgen.cli.terminal import PlainConsole
from taskgen.events.sql import SqliteHandler
from taskgen.execution.board import BoardState
from taskgen.execution.campaign import FailedTaskSet
from taskgen.execution.dispatcher import Counters
from taskgen.run import Run
from tests.support.command_line import run_taskgen, write_taskset
from tests.support.hostile_text import HOSTILE, MARKUP, SHOWN, assert_harmless, unwrapped
from tests.support.profiles import event
from tests.support.store_events import end_run, give, taskset

NO_UTF8 = "\udcff"
"""The byte 0xff, as Python has it in an argument."""
ARGUMENTS = (
    ("run", HOSTILE, "--board", "127.0.0.1:1"),
    ("run", "good.json", "--board", HOSTILE),
    ("run", "good.json", "--board", "127.0.0.1:1", "--handler", HOSTILE),
    ("run", "good.json", "--board", "127.0.0.1:1", "--sqlite", f"none/{HOSTILE}"),
    ("run", "good.json", "--board", "127.0.0.1:1", "--csv", f"none/{HOSTILE}"),
    ("run", "good.json", "--board", "127.0.0.1:1", f"--{HOSTILE}"),
    ("run", "hostile.json", "--board", "127.0.0.1:1"),
    ("board", "--listen", HOSTILE),
    ("board", "--fault", HOSTILE),
    ("demo", "--out", f"good.json/{HOSTILE}"),
    ("show", HOSTILE),
    ("show", "events.db", "--run", HOSTILE),
    ("verify", HOSTILE),
    ("verify", f"sqlite:{HOSTILE}"),
    ("submit", HOSTILE),
    ("submit", "hostile.json"),
    ("reboot", HOSTILE),
    ("handle", HOSTILE, "--name", "mine"),
    ("handle", "taskgen.event:DefaultEventHandler", "--name", HOSTILE),
    ("status", "--amqp-url", HOSTILE),
    ("setup", "--management-url", HOSTILE),
    (HOSTILE,),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good task-set, one with an odd value, and a store with odd texts."""
    write_taskset(tmp_path, {"pkg": "hey", "period": 100}).rename(tmp_path / "good.json")
    write_taskset(tmp_path, {"pkg": HOSTILE, HOSTILE: 1}).rename(tmp_path / "hostile.json")
    store(tmp_path / "events.db")
    return tmp_path


def store(path: Path, text: str = HOSTILE) -> Run:
    """What a store holds that another program has written into, or an older version of this one."""
    tasks = taskset()
    assert tasks.run is not None
    tasks.run = replace(tasks.run, board=text, reason=text, run_id="one", taskset_id=text)
    with SqliteHandler(path) as handler:
        handler.__taskset_start__(tasks)
        give(handler, tasks, 0, event("START", 0, 1), event("EXIT", 0, 2), event("START", 1, 3))
        end_run(handler, tasks, 3)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE tasks SET pkg = ?", (text,))
        database.commit()
    return tasks.run


@pytest.mark.parametrize("hostile", [HOSTILE, NO_UTF8], ids=["hostile", "no UTF-8"])
@pytest.mark.parametrize(
    "arguments", ARGUMENTS, ids=lambda arguments: " ".join(arguments).replace(HOSTILE, "X")
)
def test_a_mistake_is_reported_harmlessly(folder: Path, arguments: tuple[str, ...], hostile: str) -> None:
    done = run_taskgen(*(one.replace(HOSTILE, hostile) for one in arguments), cwd=folder)
    assert done.returncode in (0, 1, 2)
    assert_harmless(done.stdout + done.stderr)


def test_a_store_is_shown_harmlessly(folder: Path) -> None:
    runs = run_taskgen("show", "events.db", cwd=folder)
    jobs = run_taskgen("show", "events.db", "--run", "one", cwd=folder)
    for shown in (runs, jobs):
        assert shown.returncode == 0, shown.stderr
        assert_harmless(shown.stdout + shown.stderr)
    assert MARKUP[:20] in runs.stdout
    assert unwrapped(jobs.stdout).count(SHOWN) >= 5


def test_stores_that_differ_are_reported_harmlessly(folder: Path) -> None:
    store(folder / "other.db", f"{HOSTILE} too")
    done = run_taskgen("verify", "sqlite:events.db", "sqlite:other.db", cwd=folder)
    assert done.returncode == 1
    assert_harmless(done.stdout + done.stderr)
    assert f"board {SHOWN} too instead of {SHOWN}" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_a_terminal_lacks_are_shown_by_their_numbers(folder: Path, encoding: str) -> None:
    store(folder / "foreign.db", "日本 …")
    done = run_taskgen("show", "foreign.db", cwd=folder, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert r"\u65e5" in done.stdout


def test_progress_and_summary_of_a_campaign_are_shown_harmlessly() -> None:
    console = PlainConsole(file=io.StringIO(), width=300, force_terminal=True, color_system=None)
    assert isinstance(console.file, io.StringIO)
    now = Snapshot((("b:1", BoardState.LOST, HOSTILE),), done=0, total=1, failed=1, events=0)
    live = Live(console=console)  # never started: it would write escape sequences of its own
    LiveDisplay(live).show(now)
    console.print(live.get_renderable())
    PlainDisplay(console).show(now)
    failed = FailedTaskSet(f"{HOSTILE}.json", 0, (HOSTILE, HOSTILE))
    failures = {f"{HOSTILE} raised": 2}
    stored = {"sqlite": HOSTILE}
    ended = Summary(None, {}, [failed], Counters(), Misses(), failures, stored, 1.0, signal="SIGTERM")
    ended.show(console)
    said = console.file.getvalue()
    assert_harmless(said)
    assert said.count(SHOWN) == 6
