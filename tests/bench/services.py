"""Processor time of each service for one event, and its rate against what its parts can do alone."""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import xmltodict

from tests.bench.lab import QUEUES, BenchLab, bench_lab, cpu_s, peak_memory_mb, poll
from tests.bench.results import Results
from tests.bench.sender import frame
from tests.support.services import Service

_BATCH: Final = 10_000
_ALONE: Final = 20_000
"""Frames that the parser alone reads."""
_DISTRIBUTOR_AIMS: Final = {2: 0.5, 200: 0.7}
_SINK_AIMS: Final = {"sqlite_sink": 0.4, "csv_sink": 0.3, "postgres_sink": 0.8}
_MEMORY_MB: Final = {"sqlite_sink": 256, "csv_sink": 256, "postgres_sink": 256, "controller": 512}
"""Limits of docker-compose.yml."""
_LIMITS: Final = {
    "sqlite_sink": "`executemany`, batches of 10,000, `synchronous=FULL`",
    "csv_sink": "`csv.writer`, synced every 10,000",
    "postgres_sink": "`COPY` into a temporary table, then `INSERT … ON CONFLICT`",
}

Row = tuple[object, ...]


def measure(results: Results, total: int) -> None:
    """Fill the queues through the distributor, empty each one, and do the same with the libraries alone."""
    for per_frame in _DISTRIBUTOR_AIMS:
        _measure(results, total, per_frame)


def measure_whole_lab(results: Results, total: int) -> None:
    """Processor time of all services, RabbitMQ and PostgreSQL for one event that goes through all of them."""
    for per_frame in _DISTRIBUTOR_AIMS:
        frames = total // per_frame // 100 * 100
        events = frames * per_frame
        with bench_lab() as lab:
            board = lab.flood(events=per_frame, frames=frames)
            services = {name: lab.start(name) for name in QUEUES}
            services["distributor"] = lab.start("distributor", boards=board)
            before = _used_s(lab, services)
            lab.submit()
            for service in services.values():
                poll(partial(_has_taken, service, events))
            after = _used_s(lab, services)
        spent_us = {name: (after[name] - before[name]) / events * 1e6 for name in after}
        part = f"whole lab, {per_frame} events a frame"
        results.add(sum(spent_us.values()), part, "-", 55, unit="µs an event", is_ratio=False)
        print("    of which", ", ".join(f"{name} {us:.1f}" for name, us in spent_us.items()))


def _measure(results: Results, total: int, per_frame: int) -> None:
    frames = total // per_frame // 100 * 100
    events = frames * per_frame
    each = f"{per_frame} events a frame"
    with bench_lab() as lab:
        lab.declare_queues()
        alone_s = _parser_alone(per_frame)
        through_s = _fill(lab, frames, per_frame)
        aim = _DISTRIBUTOR_AIMS[per_frame]
        results.add(alone_s / through_s, f"distributor, {each}", "`xmltodict.parse` alone", aim)
        drained = {name: _drain(lab, name, events) for name in QUEUES}
        limits = _limits(lab)
        for name, aim in _SINK_AIMS.items():
            results.add(limits[name] / drained[name][0], f"{name}, {each}", _LIMITS[name], aim)
        for name, limit_mb in _MEMORY_MB.items():
            part = f"memory of {name} at a backlog, {each}"
            results.add(
                drained[name][2], part, "a quarter of its limit", limit_mb / 4, unit="MB", is_ratio=False
            )
        cpu = drained["controller"][1] * 1e6
        results.add(cpu, f"controller, {each}", "-", 8, unit="µs an event", is_ratio=False)


def _parser_alone(per_frame: int) -> float:
    """Seconds for one event."""
    document = frame(per_frame).rstrip(b"\0")
    count = max(_ALONE // per_frame, 100)
    began = time.perf_counter()
    for _ in range(count):
        xmltodict.parse(document)
    return (time.perf_counter() - began) / count / per_frame


def _fill(lab: BenchLab, frames: int, per_frame: int) -> float:
    """Let a board flood the distributor until the broker has confirmed all; seconds for one event."""
    events = frames * per_frame
    distributor = lab.start("distributor", boards=lab.flood(events=per_frame, frames=frames))
    began = time.monotonic()
    lab.submit()
    ended = poll(lambda: are_confirmed(lab, events))
    distributor.stop()
    return (ended - began) / events


def are_confirmed(lab: BenchLab, events: int, folder: Path | None = None) -> bool:
    """Whether that many events have gone through the outbox, and nothing is left in it."""
    (waiting,) = _ask_outbox(folder or lab.folder / "outbox", "SELECT count(*) FROM messages")
    return written_events(lab, folder) >= events and not waiting


def written_events(lab: BenchLab, folder: Path | None = None) -> int:
    """How many events of the run in progress were written to the outbox."""
    query = "SELECT coalesce(max(events), 0) FROM open_runs"
    return int(_ask_outbox(folder or lab.folder / "outbox", query)[0])


def _ask_outbox(folder: Path, query: str) -> tuple[int, ...]:
    (path,) = folder.glob("*.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as outbox:
        row: tuple[int, ...] = outbox.execute(query).fetchone()
    return row


def _drain(lab: BenchLab, name: str, events: int) -> tuple[float, float, float]:
    """Let a service empty its full queue; seconds and processor seconds for one event, and its peak memory.

    The times are those between 90 % and 10 % of the queue, so that neither its start nor its end counts.
    """
    queue = QUEUES[name]
    messages = lab.client.depth(queue)
    service = lab.start(name)

    def at(share: float) -> tuple[float, float, int]:
        return (
            poll(lambda: lab.client.depth(queue) <= messages * share),
            cpu_s(service),
            lab.client.depth(queue),
        )

    (began, cpu_before, full), (ended, cpu_after, left) = at(0.9), at(0.1)
    poll(lambda: lab.client.depth(queue) == 0 and metric(service, "taskgen_events_total") >= events)
    peak_mb = peak_memory_mb(service)
    service.stop()
    done = (full - left) * events / messages
    return (ended - began) / done, (cpu_after - cpu_before) / done, peak_mb


def _has_taken(service: Service, events: int) -> bool:
    return metric(service, "taskgen_events_total") >= events


def metric(service: Service, name: str) -> float:
    """One of its numbers for Prometheus."""
    found = re.search(rf"^{name} (\S+)$", service.get("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def _used_s(lab: BenchLab, services: dict[str, Service]) -> dict[str, float]:
    """Processor time so far of each service, RabbitMQ and PostgreSQL."""
    used = {name: cpu_s(service) for name, service in services.items()}
    return used | {name: lab.server_cpu_s(name) for name in ("beam.smp", "postgres")}


def _limits(lab: BenchLab) -> dict[str, float]:
    """Seconds for one event that the libraries alone need for the same rows, with the same syncs."""
    with closing(sqlite3.connect(lab.folder / "events.db")) as stored:
        rows: list[Row] = stored.execute("SELECT * FROM events").fetchall()
        schema = [
            sql
            for (sql,) in stored.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'events'")
            if sql is not None
        ]
    alone: dict[str, Callable[[], float]] = {
        "sqlite_sink": lambda: _sqlite_alone(lab.folder / "alone.db", schema, rows),
        "csv_sink": lambda: _csv_alone(lab.folder / "alone.csv", rows),
        "postgres_sink": lambda: _postgres_alone(lab.postgres.url, rows),
    }
    return {name: measured() / len(rows) for name, measured in alone.items()}


def _sqlite_alone(path: Path, schema: list[str], rows: list[Row]) -> float:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        for statement in schema:
            connection.execute(statement)
        insert = f"INSERT INTO events VALUES ({', '.join('?' * len(rows[0]))})"
        began = time.monotonic()
        for start in range(0, len(rows), _BATCH):
            with connection:
                connection.executemany(insert, rows[start : start + _BATCH])
        return time.monotonic() - began


def _csv_alone(path: Path, rows: list[Row]) -> float:
    began = time.monotonic()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for start in range(0, len(rows), _BATCH):
            writer.writerows(rows[start : start + _BATCH])
            file.flush()
            os.fsync(file.fileno())
    return time.monotonic() - began


def _postgres_alone(url: str, rows: list[Row]) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alone (LIKE events INCLUDING ALL)")
        connection.execute("CREATE TEMPORARY TABLE incoming (LIKE events)")
        began = time.monotonic()
        for start in range(0, len(rows), _BATCH):
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy("COPY incoming FROM STDIN") as copy:
                    for row in rows[start : start + _BATCH]:
                        copy.write_row(row)
                cursor.execute("INSERT INTO alone SELECT * FROM incoming ON CONFLICT DO NOTHING")
                cursor.execute("TRUNCATE incoming")
        return time.monotonic() - began
