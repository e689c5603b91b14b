"""Sinks against consumers as tutorials write them: each message is inserted, committed and acknowledged."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import Any, Final

import pika
import psycopg

from tests.bench.lab import QUEUES, BenchLab, bench_lab, poll
from tests.bench.results import Results
from tests.support.broker_client import publish_to_queue
from tests.support.message_factory import events_message, run_head

_TUTORIAL: Final = 20
_FASTSTREAM: Final = 10
_COLUMNS: Final = "run_id TEXT, seq BIGINT, task_id BIGINT, type TEXT, time_stamp BIGINT, received_at TEXT"
_ACKNOWLEDGE_EVERY: Final = 500
_SINKS: Final = {"sqlite_sink": "sqlite", "postgres_sink": "postgresql"}


def measure(results: Results, messages: int) -> None:
    """Empty queues of the same messages, of one event each."""
    with bench_lab() as lab:
        for sink, store in _SINKS.items():
            lab.start(sink).stop()  # declares its queue
            ours_s = _ours_s(lab, sink, 10 * messages)
            for peer, aim in (("pika", _TUTORIAL), ("faststream", _FASTSTREAM)):
                limit = f"a consumer of {peer} that stores each message on its own"
                peer_s = _peer_s(lab, peer, store, messages)
                results.add(peer_s / ours_s, f"{sink} and {peer}, one event a message", limit, aim)
            reader_s = _peer_s(lab, "reader", store, 10 * messages)
            results.add(reader_s / ours_s, f"{sink}, one event a message", "pika alone, storing nothing", 0.5)


def _publish(lab: BenchLab, queue: str, count: int) -> None:
    run = run_head()
    publish_to_queue(lab.broker.url, queue, [events_message(run, seq, 1).body() for seq in range(count)])


def _ours_s(lab: BenchLab, sink: str, messages: int) -> float:
    """Seconds for one event."""
    queue = QUEUES[sink]
    _publish(lab, queue, messages)
    service = lab.start(sink)
    began = poll(lambda: lab.client.depth(queue) <= 0.9 * messages)
    full = lab.client.depth(queue)
    ended = poll(lambda: lab.client.depth(queue) <= 0.1 * messages)
    left = lab.client.depth(queue)
    poll(lambda: lab.client.depth(queue) == 0)
    service.stop()
    return (ended - began) / (full - left)


def _peer_s(lab: BenchLab, peer: str, store: str, messages: int) -> float:
    """Seconds for one event, measured by the peer in a process of its own."""
    queue = f"peer-{peer}-{store}"
    lab.client.declare_plain(queue)
    _publish(lab, queue, messages)
    place = str(lab.folder / f"{queue}.db") if store == "sqlite" else lab.postgres.url
    command = [sys.executable, "-m", "tests.bench.peers", peer, lab.broker.url, queue, place, str(messages)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / messages


class Store:
    """What a tutorial stores into: a connection and one statement."""

    def __init__(self, place: str) -> None:
        self._connection: Any
        if place.startswith("postgresql:"):
            self._connection, mark = psycopg.connect(place), "%s"
        else:
            self._connection, mark = sqlite3.connect(place), "?"
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        table = f"peer_{time.monotonic_ns()}"
        self._connection.execute(f"CREATE TABLE {table} ({_COLUMNS}, PRIMARY KEY (run_id, seq))")
        self._connection.commit()
        self._insert = f"INSERT INTO {table} VALUES ({', '.join([mark] * 6)})"

    def store(self, body: bytes) -> None:
        """Insert the event of a message, and commit."""
        message = json.loads(body)
        events = message["events"]
        ((seq, received_at),) = events["frames"]
        row = message["run"]["run_id"], seq, events["task_ids"][0], events["types"][0]
        self._connection.execute(self._insert, (*row, events["time_stamps"][0], received_at))
        self._connection.commit()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _tutorial(url: str, queue: str, store: Store, count: int) -> float:
    """The consumer of pika's tutorial on work queues, with its prefetch count of 1."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        seen = 0

        def callback(ch: Any, method: Any, properties: Any, body: bytes) -> None:
            nonlocal seen
            store.store(body)
            ch.basic_ack(delivery_tag=method.delivery_tag)
            seen += 1
            if seen == count:
                channel.stop_consuming()

        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue=queue, on_message_callback=callback)
        began = time.perf_counter()
        channel.start_consuming()
        return time.perf_counter() - began


def _reader(url: str, queue: str, count: int) -> float:
    """The seconds that pika alone needs to take messages: no consumer can be faster."""
    connection = pika.SelectConnection(pika.URLParameters(url))
    seen = 0

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal seen
        seen += 1
        if seen % _ACKNOWLEDGE_EVERY == 0 or seen == count:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if seen == count:
            connection.close()

    def on_channel(channel: Any) -> None:
        channel.basic_qos(prefetch_count=2 * _ACKNOWLEDGE_EVERY)
        channel.basic_consume(queue, on_message)

    connection.add_on_open_callback(lambda opened: opened.channel(on_open_callback=on_channel))
    connection.add_on_close_callback(lambda _, __: connection.ioloop.stop())
    began = time.perf_counter()
    connection.ioloop.start()
    return time.perf_counter() - began


async def _faststream(url: str, queue: str, store: Store, count: int) -> float:
    """A subscriber of FastStream, with its defaults."""
    from faststream.rabbit import QueueType, RabbitBroker, RabbitQueue  # noqa: PLC0415 - only this needs it
    from faststream.rabbit.annotations import RabbitMessage  # noqa: PLC0415 - as above

    broker = RabbitBroker(url)
    done = asyncio.Event()
    seen = 0

    async def take(message: RabbitMessage) -> None:
        nonlocal seen
        store.store(message.body)
        seen += 1
        if seen == count:
            done.set()

    # A call, not a decorator: mypy holds an untyped decorator against us where FastStream is not installed.
    broker.subscriber(RabbitQueue(queue, queue_type=QueueType.QUORUM, durable=True, declare=False))(take)
    began = time.perf_counter()
    async with broker:
        await broker.start()
        await done.wait()
    return time.perf_counter() - began


def main() -> None:
    """Consume so many messages, and print the seconds: `peers PEER URL QUEUE PLACE COUNT`."""
    peer, url, queue, place, count = sys.argv[1:]
    store = Store(place)
    if peer == "pika":
        spent_s = _tutorial(url, queue, store, int(count))
    elif peer == "reader":
        spent_s = _reader(url, queue, int(count))
    else:
        spent_s = asyncio.run(_faststream(url, queue, store, int(count)))
    store.close()
    print(spent_s)


if __name__ == "__main__":
    main()
