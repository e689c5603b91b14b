"""A lab for benchmarks: servers that write to the disk, flooding boards, and services as real processes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from taskgen.amqp.topology import TASKSETS
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.bench.children import child
from tests.bench.sender import TASKS
from tests.support.broker_client import BrokerClient, broker_client
from tests.support.servers.choose import find_broker, find_postgres
from tests.support.servers.postgres import installed_postgres
from tests.support.services import Service

QUEUES = {
    "sqlite_sink": "taskgen.sink.sqlite",
    "csv_sink": "taskgen.sink.csv",
    "postgres_sink": "taskgen.sink.postgres",
    "controller": "taskgen.controller",
}
TASKSET = TaskSet([Task(pkg="hey", period=10, numberofjobs=10**9) for _ in range(TASKS)])
"""As many tasks as the flooding board has events of."""


class BenchLab:
    """The servers, and services on them that end with the lab."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        find_postgres()  # installs it where it has to
        make_postgres = installed_postgres(is_durable=True)
        assert make_postgres is not None
        self.broker = stack.enter_context(closing(find_broker()()))
        self.postgres = stack.enter_context(closing(make_postgres()))
        self.broker.start()
        self.postgres.start()
        self.client: BrokerClient = stack.enter_context(broker_client(self.broker.url))

    def flood(self, *, events: int, frames: int) -> str:
        """The address of a board that says, in each run, that many frames of that many events at once."""
        (address,) = self._stack.enter_context(
            child("tests.bench.sender", f"--frames={frames}", f"--events={events}")
        )
        return address

    def start(self, name: str, **variables: Any) -> Service:
        """Start a service with what compose gives it."""
        given = {
            "amqp_url": self.broker.url,
            "outbox_path": self.folder / "outbox",
            "sqlite_path": self.folder / "events.db",
            "csv_dir": self.folder / "parts",
            "postgres_dsn": self.postgres.url,
            "state_url": f"sqlite:{self.folder / 'state.db'}",
            **variables,
        }
        return self._stack.enter_context(Service(name, **given)).wait_healthy()

    def declare_queues(self) -> None:
        """Let each consumer declare its queue, which then fills while nobody consumes."""
        for service in [self.start(name) for name in QUEUES]:
            service.stop()

    def submit(self, **fields: Any) -> None:
        """Queue a run of the flooding board."""
        self.client.submit(TASKSET, **fields)

    def waiting_tasksets(self) -> int:
        """How many runs no board has taken yet."""
        return self.client.depth(TASKSETS)

    def server_cpu_s(self, name: str) -> float:
        """Processor time so far of `beam.smp` or `postgres`, and of what they have started."""
        return sum(
            sum(process.cpu_times()[:4])
            for process in psutil.Process().children(recursive=True)
            if process.name() == name
        )


def cpu_s(service: Service) -> float:
    """Processor time of a service so far."""
    return sum(psutil.Process(service.process.pid).cpu_times()[:2])


def peak_memory_mb(service: Service) -> float:
    """The most memory that a service has had resident."""
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) / 1024


def poll(is_done: Callable[[], bool], limit_s: float = 600) -> float:
    """Wait for a condition by looking often; returns when it held, of the monotonic clock."""
    until = time.monotonic() + limit_s
    while not is_done():
        if time.monotonic() > until:
            raise TimeoutError("the benchmark does not come to an end")
        time.sleep(0.02)
    return time.monotonic()


@contextmanager
def bench_lab() -> Iterator[BenchLab]:
    """A lab that ends with the context."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="taskgen-bench-"))
        yield BenchLab(stack, Path(folder))
