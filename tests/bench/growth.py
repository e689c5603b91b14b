"""Whether anything becomes slower or larger as stores, queues and campaigns grow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import pika

from taskgen.amqp.topology import TASKSETS, inbox
from taskgen.event_columns import EventColumns, Frame
from taskgen.events.base import Batch, StoringHandler
from taskgen.events.csv import CsvHandler
from taskgen.events.postgres import PostgresHandler
from taskgen.events.sql import SqliteHandler
from taskgen.messages.codec import EventsMessage
from taskgen.run import Outcome, Run, now
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.bench.lab import QUEUES, BenchLab, bench_lab, poll
from tests.bench.results import Results
from tests.support.broker_client import publish_to_queue
from tests.support.message_factory import events_message, run_head

_RUN_EVENTS: Final = 10_000
_TASKS: Final = 5
_FLAT: Final = 0.85
_WINDOW: Final = 200
"""As many messages as `taskgen submit` publishes before it waits for their confirms."""

VARIANTS: Final = {size: f"tests.bench.growth:variants_{size}" for size in (100_000, 1_000_000)}


def variants_100000() -> TaskSet:
    """A campaign of that many variants."""
    return TaskSet([Task(pkg="hey", period=range(1, 101), numberofjobs=range(1, 1_001))])


def variants_1000000() -> TaskSet:
    """A campaign of that many variants."""
    return TaskSet([Task(pkg="hey", period=range(1, 1_001), numberofjobs=range(1, 1_001))])


def measure(results: Results, large: int) -> None:
    """Insert, drain, submit and read with little and with much of everything.

    Args:
        results: gets the ratios.
        large: events that a large store holds, and ten times as many as messages of a large backlog.
    """
    with bench_lab() as lab, tempfile.TemporaryDirectory(prefix="taskgen-bench-") as folder:
        database = Path(folder) / "events.db"
        stores: dict[str, Callable[[], StoringHandler]] = {
            "sqlite": partial(SqliteHandler, database),
            "csv": partial(CsvHandler, Path(folder) / "events.csv"),
            "postgresql": partial(PostgresHandler, lab.postgres.url),
        }
        for name, make in stores.items():
            _measure_inserts(results, name, make, large)
        _measure_reading(results, database, Path(folder) / "small.db")
        _measure_draining(results, lab, large // 10)
        _measure_submitting(results, lab)


def _measure_inserts(results: Results, name: str, make: Callable[[], StoringHandler], large: int) -> None:
    with make() as handler:
        _insert(handler, 100_000)
        few_s = _insert(handler, 500_000)
        _insert(handler, large - 600_000)
        many_s = _insert(handler, 500_000)
    part = f"inserting into {name} with {large:,} events"
    results.add(few_s / many_s, part, "the same with 100,000 events", _FLAT)


def _insert(handler: StoringHandler, events: int) -> float:
    """Store whole runs; returns the seconds."""
    tasks = [{"id": task, "pkg": "hey", "period": 10} for task in range(_TASKS)]
    columns = EventColumns(
        ["START", "EXIT"] * (_RUN_EVENTS // 2),
        [place // 2 % _TASKS for place in range(_RUN_EVENTS)],
        list(range(_RUN_EVENTS)),
        [Frame(0, now())],
    )
    began = time.monotonic()
    for _ in range(events // _RUN_EVENTS):
        run = Run("board:1", outcome=Outcome.FINISHED, events=_RUN_EVENTS, ended_at=now())
        handler._write(Batch(started=[(run, tasks)], events=[(run, columns)], ended=[run]))
    return time.monotonic() - began


def _measure_reading(results: Results, database: Path, small: Path) -> None:
    """Peak memory of `taskgen verify` and `show` for a large database, against a small one."""
    with SqliteHandler(small) as handler:
        _insert(handler, 100_000)
    for command, few, many in (
        ("verify", [f"sqlite:{small}"], [f"sqlite:{database}"]),
        ("show", [str(small)], [str(database)]),
    ):
        ratio = _peak_kib(command, *few) / _peak_kib(command, *many)
        part = f"memory of taskgen {command} of a large database"
        results.add(ratio, part, "of 100,000 events", _FLAT)


def _peak_kib(*arguments: str) -> int:
    """The most memory that a command has had resident."""
    command = [sys.executable, "-m", "taskgen", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_maxrss


def _measure_draining(results: Results, lab: BenchLab, backlog: int) -> None:
    """How fast a sink empties its queue, from 90 % to 10 % of a small and of a large backlog."""
    lab.start("sqlite_sink").stop()  # declares its queue
    few_s, many_s = _drain_s(lab, 10_000), _drain_s(lab, backlog)
    part = f"draining a backlog of {backlog:,} messages"
    results.add(few_s / many_s, part, "of 10,000", _FLAT)


def _drain_s(lab: BenchLab, messages: int) -> float:
    """Seconds for one message."""
    queue = QUEUES["sqlite_sink"]
    bodies = (message.body() for message in _messages(messages))
    while portion := list(islice(bodies, 20_000)):
        publish_to_queue(lab.broker.url, queue, portion)
    service = lab.start("sqlite_sink")
    began = poll(lambda: lab.client.depth(queue) <= messages * 0.9)
    full = lab.client.depth(queue)
    ended = poll(lambda: lab.client.depth(queue) <= messages * 0.1)
    left = lab.client.depth(queue)
    poll(lambda: lab.client.depth(queue) == 0)
    service.stop()
    return (ended - began) / (full - left)


def _messages(count: int) -> Iterator[EventsMessage]:
    run = run_head()
    for number in range(count):
        if number % 1_000 == 0:
            run = run_head()
        yield events_message(run, number % 1_000 * 2, 2)


def _measure_submitting(results: Results, lab: BenchLab) -> None:
    """`taskgen submit` against a bare publisher of the same messages, with the same window of confirms."""
    few, many = VARIANTS
    peaks = {size: _peak_kib("submit", VARIANTS[size], "--amqp-url", lab.broker.url) for size in (few,)}
    lab.client.purge(TASKSETS)
    began = time.monotonic()
    peaks[many] = _peak_kib("submit", VARIANTS[many], "--amqp-url", lab.broker.url)
    submitted_s = time.monotonic() - began
    bodies = [lab.client.take(TASKSETS) for _ in range(1_000)]
    lab.client.purge(TASKSETS)
    bare_s = _publish_bare(lab.broker.url, [body for body in bodies if body is not None], many)
    results.add(
        bare_s / submitted_s, f"taskgen submit of {many:,} variants", "pika, the same bytes and confirms", 0.6
    )
    part = f"memory of taskgen submit of {many:,} variants"
    results.add(peaks[few] / peaks[many], part, f"of {few:,}", _FLAT)


def _publish_bare(url: str, bodies: list[bytes], count: int) -> float:
    """Publish with pika alone, waiting for the confirms of each window; returns the seconds."""
    connection = pika.SelectConnection(pika.URLParameters(url))
    channels: list[pika.channel.Channel] = []
    unconfirmed: set[int] = set()
    tags = iter(range(1, count + 1))

    def publish_window() -> None:
        for tag in islice(tags, _WINDOW):
            unconfirmed.add(tag)
            properties = pika.BasicProperties(delivery_mode=2, message_id="x" * 38)
            channels[0].basic_publish(
                inbox(TASKSETS), TASKSETS, bodies[tag % len(bodies)], properties, mandatory=True
            )
        if not unconfirmed:
            connection.close()

    def on_confirm(frame: pika.frame.Method[pika.spec.Basic.Ack]) -> None:
        tag = frame.method.delivery_tag
        confirmed = [one for one in unconfirmed if one <= tag] if frame.method.multiple else [tag]
        unconfirmed.difference_update(confirmed)
        if not unconfirmed:
            publish_window()

    def on_channel(channel: pika.channel.Channel) -> None:
        channels.append(channel)
        channel.confirm_delivery(on_confirm, callback=lambda _: publish_window())

    connection.add_on_open_callback(lambda opened: opened.channel(on_open_callback=on_channel))
    connection.add_on_close_callback(lambda _, __: connection.ioloop.stop())
    began = time.monotonic()
    connection.ioloop.start()
    return time.monotonic() - began
