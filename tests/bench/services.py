"""Processor time of each service for one event, and its rate against what its parts can do alone."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sqlite3
import time
from pathlib import Path

import psycopg
import xmltodict

from tests.bench.lab import QUEUES, BenchLab, bench_lab, cpu_s, poll
from tests.bench.sender import frame
from tests.support.services import Service

BATCH = 10_000


def drain(lab: BenchLab, name: str, events: int) -> tuple[float, float]:
    """Let a service empty its full queue; seconds and processor seconds for one event.

    What it does between 10 % and 90 % is measured, so that neither its start nor its end count.
    """
    queue = QUEUES[name]
    messages = lab.client.depth(queue)
    service = lab.start(name)
    began = poll(lambda: lab.client.depth(queue) <= messages * 0.9), cpu_s(service), lab.client.depth(queue)
    ended = poll(lambda: lab.client.depth(queue) <= messages * 0.1), cpu_s(service), lab.client.depth(queue)
    done = (began[2] - ended[2]) * events / messages
    poll(lambda: metric(service, "taskgen_frames_total") > 0 and lab.client.depth(queue) == 0)
    service.stop()
    return (ended[0] - began[0]) / done, (ended[1] - began[1]) / done


def metric(service: Service, name: str) -> float:
    """One of its numbers for Prometheus."""
    found = re.search(rf"^{name} (\S+)$", service.get("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def measure(total: int, per_frame: int) -> None:
    """Fill the queues through the distributor, then empty each one."""
    frames = total // per_frame // 100 * 100
    events = frames * per_frame
    document = frame(per_frame).rstrip(b"\0")
    began = time.process_time()
    for _ in range(min(frames, 20_000)):
        xmltodict.parse(document)
    alone = (time.process_time() - began) / min(frames, 20_000) / per_frame
    with bench_lab() as lab:
        lab.declare_queues()
        board = lab.flood(events=per_frame, frames=frames)
        distributor = lab.start("distributor", boards=board)
        cpu = cpu_s(distributor)
        started = time.monotonic()
        lab.submit()
        ended = poll(
            lambda: (
                metric(distributor, "taskgen_events_total") >= events
                and metric(distributor, "taskgen_outbox_messages") == 0
            )
        )
        spent = cpu_s(distributor) - cpu
        print(f"{per_frame} events a frame, {events} events")
        print(f"  xmltodict alone {alone * 1e6:.1f} us")
        print(
            f"  distributor {(ended - started) / events * 1e6:.1f} us, cpu {spent / events * 1e6:.1f} us:"
            f" ratio {alone * events / (ended - started):.2f}"
        )
        print("  messages", {name: lab.client.depth(queue) for name, queue in QUEUES.items()})
        distributor.stop()
        for name in QUEUES:
            wall, used = drain(lab, name, events)
            print(f"  {name} {wall * 1e6:.1f} us, cpu {used * 1e6:.1f} us an event", flush=True)
        rows = stored_rows(lab.folder / "events.db")
        for name, seconds in limits(lab, rows).items():
            print(f"  limit {name}: {seconds / len(rows) * 1e6:.2f} us")


def stored_rows(path: Path) -> list[tuple[object, ...]]:
    """What the SQLite sink has stored."""
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT * FROM events").fetchall()


def limits(lab: BenchLab, rows: list[tuple[object, ...]]) -> dict[str, float]:
    """Seconds that the libraries alone need for these rows, with the same syncs."""
    return {
        "sqlite_sink": _sqlite_alone(lab, rows),
        "csv_sink": _csv_alone(lab, rows),
        "postgres_sink": _postgres_alone(lab, rows),
    }


def _sqlite_alone(lab: BenchLab, rows: list[tuple[object, ...]]) -> float:
    path = lab.folder / "alone.db"
    with sqlite3.connect(lab.folder / "events.db") as stored:
        schema = [
            sql
            for (sql,) in stored.execute(
                "SELECT sql FROM sqlite_master WHERE tbl_name = 'events' AND sql IS NOT NULL"
            )
        ]
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    for statement in schema:
        connection.execute(statement)
    marks = ", ".join("?" * len(rows[0]))
    began = time.monotonic()
    for start in range(0, len(rows), BATCH):
        with connection:
            connection.executemany(f"INSERT INTO events VALUES ({marks})", rows[start : start + BATCH])
    return time.monotonic() - began


def _csv_alone(lab: BenchLab, rows: list[tuple[object, ...]]) -> float:
    began = time.monotonic()
    with (lab.folder / "alone.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for start in range(0, len(rows), BATCH):
            writer.writerows(rows[start : start + BATCH])
            file.flush()
            os.fsync(file.fileno())
    return time.monotonic() - began


def _postgres_alone(lab: BenchLab, rows: list[tuple[object, ...]]) -> float:
    with psycopg.connect(lab.postgres.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alone (LIKE events INCLUDING ALL)")
        connection.execute("CREATE TEMPORARY TABLE incoming (LIKE events)")
        began = time.monotonic()
        for start in range(0, len(rows), BATCH):
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy("COPY incoming FROM STDIN") as copy:
                    for row in rows[start : start + BATCH]:
                        copy.write_row(row)
                cursor.execute("INSERT INTO alone SELECT * FROM incoming ON CONFLICT DO NOTHING")
                cursor.execute("TRUNCATE incoming")
        return time.monotonic() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--total", type=int, default=1_000_000)
    wanted = parser.parse_args()
    for per_frame in (2, 200):
        measure(wanted.total, per_frame)
