"""A service stays under half of the memory that compose gives it, whatever waits in its queue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.distributor.outbox import Change, Entry, Outbox
from taskgen.amqp.topology import Queue, controller_queue, handler_queue, sink_queue
from taskgen.event_columns import ProfileOfRun
from taskgen.messages.codec import EventsMessage, Message
from taskgen.run import now
from taskgen.state.opening import open_state
from tests.support.broker_client import dead_letters_of, declare_queues, publish, queue_depth
from tests.support.message_factory import BOARD, ended_message, run_head, started_message
from tests.support.services import Service
from tests.support.sink_kinds import CsvKind, PostgresKind, SqliteKind, wait_until_stored
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

HALF = 128 * 1024
"""KiB; compose gives sinks, and a user's own handler, 256 MB ..."""
HALF_OF_A_LARGE_ONE = 256 * 1024
"""... and controllers and distributors 512."""

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


def run(messages: int, events: int, more: dict[str, Any]) -> list[Message]:
    """A run whose messages hold so many events each."""
    about = run_head()
    whole: list[Message] = [started_message(about)]
    for number in range(messages):
        first = number * events
        found = [
            {"@type": "START" if seq % 2 == 0 else "EXIT", "@task-id": "0", "@time-stamp": str(seq)} | more
            for seq in range(first, first + events)
        ]
        profile = {"profile": {"events": {"event": found}}}
        part = ProfileOfRun(first, now(), profile)
        whole.append(EventsMessage.of(about, [part]))
    return [*whole, ended_message(about, messages * events)]


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
        declare_queues(amqp_vhost_url, queue)
        runs = [run(*shape) for shape in backlog]
        for one in runs:
            publish(amqp_vhost_url, one)
        with Service(f"{self.name}_sink", amqp_url=amqp_vhost_url, **place) as service:
            service.wait_healthy()
            total = sum(messages * events for messages, events, _ in backlog)
            wait_until(
                lambda: counted(service, "taskgen_events_total") == total, 100, f"{total} events stored"
            )
            wait_until_stored(len(runs), spec)
            memory = most_memory(service)
            assert service.stop() == 0
        assert dead_letters_of(amqp_vhost_url, queue.name) == []
        assert memory < HALF


class Follower:
    """What holds for the services that follow runs: in whatever order, also when they start in the middle."""

    queue: Queue
    command: tuple[str, ...] = ("controller",)
    half = HALF_OF_A_LARGE_ONE

    @pytest.fixture
    def state_url(self, tmp_path: Path) -> str:
        return f"sqlite:{tmp_path / 'state.db'}"

    def service(self, url: str, state_url: str) -> Service:
        declare_queues(url, self.queue)
        return Service(*self.command, amqp_url=url, state_url=state_url)

    def take_all(self, service: Service, events: int) -> None:
        service.wait_healthy()
        wait_until(lambda: counted(service, "taskgen_events_total") == events, 120, f"{events} events taken")
        assert most_memory(service) < self.half

    def is_closed(self, state_url: str, message: Message) -> bool:
        """Whether it has seen the whole run."""
        assert isinstance(message, EventsMessage)
        with closing(open_state(state_url, self.owner)) as state:
            row = state.run(message.run.run_id)
        return row is not None and row.is_closed

    @property
    def owner(self) -> str:
        return self.queue.name.rpartition(".")[2]

    @backlogs
    def test_a_backlog_is_processed_in_little_memory_and_nothing_is_dead_lettered(
        self, backlog: Iterable[tuple[int, int, dict[str, Any]]], amqp_vhost_url: str, state_url: str
    ) -> None:
        with self.service(amqp_vhost_url, state_url) as service:
            for shape in backlog:
                publish(amqp_vhost_url, run(*shape))
            self.take_all(service, sum(messages * events for messages, events, _ in backlog))
            assert service.stop() == 0
        assert dead_letters_of(amqp_vhost_url, self.queue.name) == []

    def test_messages_before_their_turn_wait_in_the_state_and_not_in_memory(
        self, amqp_vhost_url: str, state_url: str
    ) -> None:
        start, first, *rest = run(600, 500, PLAIN)
        with self.service(amqp_vhost_url, state_url) as service:
            publish(amqp_vhost_url, [start, *rest])
            self.take_all(service, 599 * 500)
            service.kill()
        with self.service(amqp_vhost_url, state_url) as service:
            publish(amqp_vhost_url, [first])
            self.take_all(service, 500)
            wait_until(lambda: self.is_closed(state_url, first), 120, "the whole run")
            assert most_memory(service) < self.half
            assert service.stop() == 0

    def test_a_long_run_is_found_again_in_little_memory(self, amqp_vhost_url: str, state_url: str) -> None:
        *most, last, end = run(1000, 500, PLAIN)
        with self.service(amqp_vhost_url, state_url) as service:
            publish(amqp_vhost_url, most)
            self.take_all(service, 999 * 500)
            service.kill()
        with self.service(amqp_vhost_url, state_url) as service:
            publish(amqp_vhost_url, [last, end])
            self.take_all(service, 500)
            wait_until(lambda: self.is_closed(state_url, last), 60, "the whole run")
            assert most_memory(service) < self.half
            assert service.stop() == 0


class TestController(Follower):
    queue = controller_queue()


class TestHandler(Follower):
    queue = handler_queue("mine")
    command = ("taskgen", "handle", "taskgen.event:DefaultEventHandler", "--name", "mine")
    half = HALF


def test_a_distributor_publishes_what_others_have_left_in_little_memory(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    sizes = [4 * 1024] * 20_000 + [1024 * 1024] * 60
    with Outbox(tmp_path, 2**40) as left:
        left.write([Change(Entry(f"events.{BOARD}", str(n), b"x" * size)) for n, size in enumerate(sizes)])
    queue = sink_queue("sqlite")
    declare_queues(amqp_vhost_url, queue)
    nobody = "127.0.10.99:1"
    with Service("distributor", amqp_url=amqp_vhost_url, boards=nobody, outbox_path=tmp_path) as service:
        wait_until(lambda: queue_depth(amqp_vhost_url, queue.name) == len(sizes), 120, "all to be published")
        assert most_memory(service) < HALF_OF_A_LARGE_ONE
        assert service.stop() == 0


class TestSqlite(SqliteKind, Memory):
    pass


class TestCsv(CsvKind, Memory):
    pass


class TestPostgres(PostgresKind, Memory):
    pass
