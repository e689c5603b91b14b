"""A board that sends text to fill a log with, or to take over a terminal, does neither."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskgen.boards.taskloader_protocol import Command
from taskgen.events.sql import SqliteReader
from taskgen.messages.codec import EndedMessage, QuarantinedMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.task import Task
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import REASON_CHARACTERS
from tests.support.broker_client import broker_client
from tests.support.command_line import run_taskgen, write_taskset
from tests.support.hostile_text import IN_XML, MARKUP, assert_harmless
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.services import Service

HUGE = "9" * 1_000_000
FEW_BYTES = 20_000
"""More than a run's whole log, and far less than what such a board sends."""


def event(**attributes: str) -> bytes:
    known = {"type": "START", "task-id": "0", "time-stamp": "1"} | attributes
    named = " ".join(f'{name}="{value}"' for name, value in known.items())
    return f"<profile><events><event {named}/></events></profile>".encode()


def odd(text: str) -> list[bytes]:
    """Frames that are quarantined for a reason in which the text is quoted, and an event of that type."""
    return [
        event(**{"task-id": text}),
        event(**{"time-stamp": text}),
        event(type=text),
        f"<profile><events><event type='EXIT_ERROR' task-id='0' time-stamp='1'>{text}".encode(),
    ]


def hostile_board(line: BoardConnection) -> None:
    """Ends its run well, after all that."""
    while True:
        line.obey_until(Command.START)
        line.send_frame(f"<root{HUGE}/>".encode())
        for frame in odd(HUGE) + odd(IN_XML):
            line.send_frame(frame)
        line.send_events(("START", 0, 1), ("EXIT", 0, 2), ("JOBS_DONE", 0, 2))
        line.obey_until(Command.AVAILABLE)


def quarantined(folder: Path) -> list[str]:
    """The reasons."""
    reader = SqliteReader(folder / "events.db")
    try:
        return [one.reason for one in reader.quarantined()]
    finally:
        reader.close()


def test_huge_and_hostile_frames_are_kept_with_short_reasons_and_few_words(tmp_path: Path) -> None:
    tasks = write_taskset(tmp_path, {"pkg": "hey", "period": 100})
    with scripted_board(hostile_board) as address:
        command = ("run", tasks, "--board", address, "--sqlite", "events.db")
        done = run_taskgen(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_harmless(done.stdout + done.stderr)
    assert len(done.stdout + done.stderr) < FEW_BYTES
    reasons = quarantined(tmp_path)
    assert len(reasons) == 7
    assert max(map(len, reasons)) == REASON_CHARACTERS
    assert sum(MARKUP in reason for reason in reasons) == 2
    for reason in reasons:
        assert_harmless(reason)


def test_a_handler_that_quotes_a_board_in_its_error_fills_no_log(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from taskgen.event import DefaultEventHandler\n"
        "class Own(DefaultEventHandler):\n"
        "    def __taskset_event__(self, taskset, event):\n"
        "        for one in event['profile']['events']['event']:\n"
        "            if one['@type'] not in ('START', 'EXIT', 'JOBS_DONE'):\n"
        "                raise ValueError(one['@type'])\n"
        "        return super().__taskset_event__(taskset, event)\n"
    )
    tasks = write_taskset(tmp_path, {"pkg": "hey", "period": 100})
    with scripted_board(hostile_board) as address:
        done = run_taskgen("run", tasks, "--board", address, "--handler", "own:Own", cwd=tmp_path)
    assert done.returncode == 1
    assert "raised ValueError" in done.stdout
    assert_harmless(done.stdout + done.stderr, tracebacks=1)
    assert len(done.stdout + done.stderr) < FEW_BYTES


def test_a_session_that_quotes_a_board_in_its_error_gives_short_reasons(tmp_path: Path) -> None:
    """A user's own session may say anything of what it cannot follow."""
    (tmp_path / "own.py").write_text(
        "from taskgen.distributor import Distributor\n"
        "from taskgen.errors import BoardProtocolError\n"
        "from taskgen.runtime.logs import configure_logs\n"
        "from taskgen.task import Task\n"
        "from taskgen.boards.taskloader import TaskloaderSession\n"
        "from taskgen.taskset import TaskSet\n"
        "import sys\n"
        "class Session(TaskloaderSession):\n"
        "    async def receive(self, timeout_s):\n"
        "        for frame in await super().receive(timeout_s):\n"
        "            raise BoardProtocolError(frame.decode('latin-1'), frame)\n"
        "configure_logs()\n"
        "with Distributor(sys.argv[1], session=Session, max_attempts=1) as distributor:\n"
        "    campaign = distributor.start(TaskSet([Task(pkg='hey', period=100)]))\n"
        "print(max(len(reason) for bad in campaign.failed for reason in bad.reasons))\n"
    )
    with scripted_board(hostile_board) as address:
        done = run_python(tmp_path, "own.py", address)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= REASON_CHARACTERS + len("attempt 1 on 127.0.0.1:65535: ")
    assert len(done.stderr) < FEW_BYTES


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.servers
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_distributor_logs_little_about_such_a_board_and_publishes_short_reasons(
    amqp_vhost_url: str, tmp_path: Path, log_format: str
) -> None:
    settings = {"outbox_path": tmp_path, "log_format": log_format}
    with (
        scripted_board(hostile_board) as board,
        broker_client(amqp_vhost_url) as lab,
        Service("distributor", amqp_url=amqp_vhost_url, boards=board, **settings) as service,
    ):
        lab.submit(TaskSet([Task(pkg="hey", period=100)]))
        reasons = [message.reason for message in lab.wait_for(QuarantinedMessage, 7)]
        lab.decide(lab.wait_for(StartedMessage)[0], Outcome.FINISHED)
        lab.wait_for(EndedMessage)
        assert max(map(len, reasons)) == REASON_CHARACTERS
        assert service.stop() == 0
        assert "quarantined in total" in service.log
        assert_harmless(service.log)
        assert len(service.log) < FEW_BYTES
