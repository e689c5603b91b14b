"""`python -m tests.bench.event_path`: which functions one frame passes from a socket to a row of PostgreSQL.

What the same services call while nothing happens is not counted.
"""

import json
import signal
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg

from taskgen.boards.taskloader_protocol import Command
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.servers.choose import find_broker, find_postgres
from tests.support.services import Service
from tests.support.waiting import wait_until

_QUIET_S = 5.0
"""Longer than the period of whatever the services do by the clock."""


def report() -> None:
    """Print the functions in the order in which they are first called, and how many they are."""
    path = event_path()
    for number, (file, function) in enumerate(path, 1):
        print(f"  {number:3} {file:48} {function}")
    print(f"one frame from socket to row: {len(path)} functions in {len({file for file, _ in path})} files")


def event_path() -> list[tuple[str, str]]:
    """File and qualified name of each function that a frame passes."""
    frames = [threading.Event(), threading.Event()]

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        for number, is_wanted in enumerate(frames):
            is_wanted.wait()
            line.send_events(("START", 0, number))
        line.wait_for_end()

    with ExitStack() as stack:
        broker = stack.enter_context(closing(find_broker()()))
        postgres = stack.enter_context(closing(find_postgres()()))
        broker.start()
        postgres.start()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = stack.enter_context(scripted_board(script))
        client = stack.enter_context(broker_client(broker.url))
        variables: dict[str, Any] = {
            "amqp_url": broker.url,
            "boards": address,
            "outbox_path": folder / "outbox",
            "postgres_dsn": postgres.url,
        }
        services = [
            stack.enter_context(Service("tests.bench.traced", str(folder), name, **variables)).wait_healthy()
            for name in ("services.distributor", "services.postgres_sink")
        ]
        client.submit(TaskSet([Task(pkg="hey", period=100)]))
        wait_until(lambda: _rows(postgres.url, "runs") == 1, 60, "the run to be stored")
        frames[0].set()
        wait_until(lambda: _rows(postgres.url, "events") == 1, 60, "the first frame to be stored")
        time.sleep(_QUIET_S)

        _signal(services, signal.SIGUSR1)
        time.sleep(_QUIET_S)
        idle = set(_recorded(services, folder))

        _signal(services, signal.SIGUSR1)
        frames[1].set()
        wait_until(lambda: _rows(postgres.url, "events") == 2, 60, "the second frame to be stored")
        time.sleep(1)  # the acknowledgement
        return [call for call in _recorded(services, folder) if call not in idle]


def _rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
            return 0
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def _signal(services: list[Service], number: signal.Signals) -> None:
    for service in services:
        service.process.send_signal(number)


def _recorded(services: list[Service], folder: Path) -> list[tuple[str, str]]:
    _signal(services, signal.SIGUSR2)
    wait_until(lambda: len(list(folder.glob("*.json"))) == len(services), 30, "the recordings")
    found: list[tuple[str, str]] = []
    for file in sorted(folder.glob("*.json")):  # the distributor comes first
        found += [(path, name) for path, name in json.loads(file.read_text())]
        file.unlink()
    return found


if __name__ == "__main__":
    report()
