"""A service stays under half of the memory that compose gives it, whatever waits in its queue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskgen.amqp.messages import EventsMessage, Message, ProfileOfRun
from taskgen.amqp.topology import controller_queue, sink_queue
from taskgen.run import now
from tests.services import Service
from tests.sink_kinds import CsvKind, PostgresKind, SqliteKind
from tests.traffic import declare, ended, head, parked, publish, started, wait_stored
from tests.waiting import wait_until

pytestmark = pytest.mark.servers

HALF_OF_A_SINK = 128 * 1024
"""KiB; compose gives a sink 256 MB."""
HALF_OF_THE_CONTROLLER = 256 * 1024
"""KiB; compose gives the controller 512 MB."""

PLAIN: dict[str, Any] = {}
CHILDREN: dict[str, Any] = {
    "task": [
        {"@id": str(number), "@session": "init -> taskloader -> hey", "@thread": "hey", "@state": "RUNNING"}
        for number in range(8)
    ]
}
"""As older boards send them."""
LONG: dict[str, Any] = {"@note": "x" * 1024}
HUGE: dict[str, Any] = {"@note": "x" * 512 * 1024}


backlogs = pytest.mark.parametrize(
    "backlog",
    [
        pytest.param([(400, 500, PLAIN)], id="ordinary"),
        pytest.param([(60, 500, CHILDREN)], id="events with eight children"),
        pytest.param([(100, 500, LONG)], id="long attributes"),
        pytest.param([(2000, 2, PLAIN), (160, 1, HUGE)], id="small messages, then huge ones"),
    ],
)


def run(messages: int, events: int, more: dict[str, Any]) -> Iterator[Message]:
    """A run whose messages hold so many events each."""
    about = head()
    yield started(about)
    for number in range(messages):
        first = number * events
        found = [
            {"@type": "START" if seq % 2 == 0 else "EXIT", "@task-id": "0", "@time-stamp": str(seq)} | more
            for seq in range(first, first + events)
        ]
        profile = {"profile": {"events": {"event": found}}}
        yield EventsMessage(
            run=about, profiles=[ProfileOfRun(first_seq=first, received_at=now(), profile=profile)]
        )
    yield ended(about, messages * events)


def most_memory(service: Service) -> int:
    """The largest resident set that the process ever had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{service.process.pid}/status").read_text())
    assert found is not None
    return int(found[1])


def counted(service: Service, metric: str) -> float:
    """The value of one of a service's metrics."""
    found = re.search(rf"^{metric} (\S+)$", service.get("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


class Memory:
    """What holds for every kind of sink."""

    name: str

    @backlogs
    def test_a_backlog_is_drained_in_little_memory_and_nothing_is_dead_lettered(
        self,
        backlog: Iterable[tuple[int, int, dict[str, Any]]],
        amqp_vhost_url: str,
        place: dict[str, object],
        spec: str,
    ) -> None:
        queue = sink_queue(self.name)
        declare(amqp_vhost_url, queue)
        runs = [run(*shape) for shape in backlog]
        for one in runs:
            publish(amqp_vhost_url, one)
        with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
            service.wait_healthy()
            total = sum(messages * events for messages, events, _ in backlog)
            wait_until(
                lambda: counted(service, "taskgen_events_total") == total, 100, f"{total} events stored"
            )
            wait_stored(len(runs), spec)
            memory = most_memory(service)
            assert service.stop() == 0
        assert parked(amqp_vhost_url, queue.name) == []
        assert memory < HALF_OF_A_SINK


@backlogs
def test_the_controller_works_off_a_backlog_in_little_memory(
    backlog: Iterable[tuple[int, int, dict[str, Any]]], amqp_vhost_url: str, tmp_path: Path
) -> None:
    queue = controller_queue()
    declare(amqp_vhost_url, queue)
    for shape in backlog:
        publish(amqp_vhost_url, run(*shape))
    state = f"sqlite:{tmp_path / 'state.db'}"
    with Service("controller", amqp_url=amqp_vhost_url, state_url=state) as service:
        service.wait_healthy()
        total = sum(messages * events for messages, events, _ in backlog)
        wait_until(lambda: counted(service, "taskgen_events_total") == total, 100, f"{total} events taken")
        memory = most_memory(service)
        assert service.stop() == 0
    assert parked(amqp_vhost_url, queue.name) == []
    assert memory < HALF_OF_THE_CONTROLLER


class TestSqlite(SqliteKind, Memory):
    pass


class TestCsv(CsvKind, Memory):
    pass


class TestPostgres(PostgresKind, Memory):
    pass
