"""Whether a second replica costs more processor time, and the distributor's memory at a backlog."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.bench.lab import QUEUES, bench_lab, cpu_s, peak_memory_mb, poll
from tests.bench.results import Results
from tests.bench.services import are_confirmed, metric, written_events
from tests.support.servers.rabbitmq import Broker
from tests.support.services import Service

_PER_FRAME: Final = 20
_GROWTH: Final = 0.8
"""Twice as many replicas then do 1.6 times as much where there are cores for them."""
_DISTRIBUTOR_MB: Final = 512 / 4
"""A quarter of its limit in docker-compose.yml."""


def measure(results: Results, total: int) -> None:
    """Processor time for one event with one and with two replicas, and memory while the broker is away."""
    one_us, two_us = (_sinks_us(total, replicas) for replicas in (1, 2))
    results.add(one_us / two_us, "two replicas of postgres_sink", "processor time of one", _GROWTH)
    one_us, two_us = (_distributors_us(total, replicas) for replicas in (1, 2))
    results.add(one_us / two_us, "two distributors", "processor time of one", _GROWTH)
    peak_mb = _memory_without_broker(total)
    part = f"memory of distributor, {total:,} events in its outbox"
    results.add(peak_mb, part, "a quarter of its limit", _DISTRIBUTOR_MB, unit="MB", is_ratio=False)


def _sinks_us(total: int, replicas: int) -> float:
    """Processor time of all replicas and of PostgreSQL for one event."""
    frames = total // _PER_FRAME // 100 * 100
    with bench_lab() as lab:
        lab.declare_queues()
        distributor = lab.start("distributor", boards=lab.flood(events=_PER_FRAME, frames=frames))
        lab.submit()
        poll(partial(are_confirmed, lab, frames * _PER_FRAME))
        distributor.stop()
        before = lab.server_cpu_s("postgres")
        sinks = [lab.start("postgres_sink") for _ in range(replicas)]
        poll(lambda: lab.client.depth(QUEUES["postgres_sink"]) == 0)
        poll(lambda: sum(metric(sink, "taskgen_events_total") for sink in sinks) >= frames * _PER_FRAME)
        spent_s = sum(map(cpu_s, sinks)) + lab.server_cpu_s("postgres") - before
        return spent_s / (frames * _PER_FRAME) * 1e6


def _distributors_us(total: int, replicas: int) -> float:
    """Processor time of all distributors for one event; each has a board of its own."""
    frames = total // _PER_FRAME // 100 * 100 // replicas
    with bench_lab() as lab:
        lab.declare_queues()
        distributors: list[Service] = []
        for number in range(replicas):
            board = lab.flood(events=_PER_FRAME, frames=frames)
            outbox = lab.folder / f"outbox-{number}"
            distributors.append(lab.start("distributor", boards=board, outbox_path=outbox))
        for _ in distributors:
            lab.submit()
        for number in range(replicas):
            outbox = lab.folder / f"outbox-{number}"
            poll(partial(are_confirmed, lab, frames * _PER_FRAME, outbox))
        return sum(map(cpu_s, distributors)) / (frames * _PER_FRAME * replicas) * 1e6


def _memory_without_broker(total: int) -> float:
    """The most memory of a distributor whose outbox takes everything, and then gives it to the broker."""
    frames = total // _PER_FRAME // 100 * 100
    with bench_lab() as lab:
        lab.declare_queues()
        distributor = lab.start("distributor", boards=lab.flood(events=_PER_FRAME, frames=frames))
        lab.submit()
        poll(lambda: written_events(lab) > 0)
        assert isinstance(lab.broker, Broker)
        lab.broker.stop()
        poll(lambda: written_events(lab) >= frames * _PER_FRAME)
        lab.broker.start()
        poll(partial(are_confirmed, lab, frames * _PER_FRAME))
        return peak_memory_mb(distributor)
