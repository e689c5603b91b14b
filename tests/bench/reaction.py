"""From a board's last `EXIT` to the `STOP` on its socket, and from run to run, in a lab of all services."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pika

from taskgen.boards.taskloader_protocol import Command
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.bench.lab import QUEUES, BenchLab, bench_lab
from tests.bench.results import Results
from tests.support.scripted_board import BoardConnection, scripted_board

JOBS = 10
_PERIOD_S = 0.01
_TASKSET = TaskSet([Task(pkg="hey", period=10, numberofjobs=JOBS)])
_PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


@dataclass
class Runs:
    """What a board saw of its runs, in seconds."""

    gaps: list[float] = field(default_factory=list)
    """From a run's `START` to the next one's, of runs whose jobs take no time."""
    reactions: list[float] = field(default_factory=list)
    """From the frame with a run's last events to the `STOP`, of runs whose jobs take their period.

    As on a real board, the lab is done with the start of the run by then.
    """


def measure(results: Results, count: int) -> None:
    """The time to react, against a message through two queues, and the time between two runs."""
    with bench_lab() as lab:
        hops = statistics.quantiles(measure_two_hops(lab, count), n=100)
        runs = measure_runs(lab, count)
    reactions = statistics.quantiles(runs.reactions, n=100)
    against = "a bare message through two quorum queues"
    for name, place, aim in (("median", 49, 2.5), ("99 %", 98, 4.0)):
        ratio = reactions[place] / hops[place]
        results.add(ratio, f"last EXIT to STOP, {name}", against, aim, unit="times", is_ratio=False)
    overhead_ms = statistics.median(runs.gaps) * 1000
    results.add(overhead_ms, "a run of ten jobs, back to back", "-", 25, unit="ms", is_ratio=False)


def measure_runs(lab: BenchLab, count: int) -> Runs:
    """Run task-sets of ten jobs back to back: `count` whose jobs take no time, and `count` others."""
    seen = Runs()
    is_over = threading.Event()

    def script(line: BoardConnection) -> None:
        starts: list[float] = []
        for _ in range(count):
            line.obey_until(Command.START)
            starts.append(time.monotonic())
            _run_jobs(line, 0)
        seen.gaps += [later - earlier for earlier, later in pairwise(starts)]
        for _ in range(count):
            line.obey_until(Command.START)
            seen.reactions.append(_run_jobs(line, _PERIOD_S))
        is_over.set()
        line.wait_for_end()

    with scripted_board(script) as address:
        for name in QUEUES:
            lab.start(name)
        lab.start("distributor", boards=address)
        for _ in range(2 * count):
            lab.client.submit(_TASKSET)
        if not is_over.wait(600):
            raise TimeoutError("the runs do not come to an end")
    return seen


def _run_jobs(line: BoardConnection, period_s: float) -> float:
    """Send the events of all jobs; returns how long the `STOP` took after the last one."""
    for number in range(JOBS - 1):
        line.send_events(("START", 0, number), ("EXIT", 0, number))
        time.sleep(period_s)
    line.send_events(("START", 0, JOBS), ("EXIT", 0, JOBS), ("JOBS_DONE", 0, JOBS))
    said = time.monotonic()
    line.obey_until(Command.STOP)
    return time.monotonic() - said


def measure_two_hops(lab: BenchLab, count: int) -> list[float]:
    """Seconds of a message through a queue, another process and a second queue, each confirmed."""
    url = lab.broker.url
    hops: list[float] = []
    with _relay(url), pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        messages = channel.consume("bench.back", auto_ack=False)
        for _ in range(count):
            began = time.monotonic()
            channel.basic_publish("", "bench.there", b"x" * 500, _PERSISTENT)
            method, _, _ = next(messages)
            hops.append(time.monotonic() - began)
            channel.basic_ack(method.delivery_tag)
    return hops


@contextmanager
def _relay(url: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", __name__, url], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def _pass_on(url: str) -> None:
    """Take each message of one queue, and put it into the other, as pika's tutorial does."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue in ("bench.there", "bench.back"):
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        print("ready", flush=True)
        for method, _, body in channel.consume("bench.there"):
            channel.basic_publish("", "bench.back", body, _PERSISTENT)
            channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    _pass_on(sys.argv[1])
