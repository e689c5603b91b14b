"""A distributor that is asked to end while its outbox takes nothing leaves no gap in what it has written."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from taskgen.events.verify import verify
from taskgen.messages.codec import EventsMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.handshake_cutter import HandshakeCutter, handshake_cutter
from tests.support.lab import lab, stored_runs
from tests.support.servers.rabbitmq import Broker
from tests.support.services import Service
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

JOBS = 15_000
EVENTS = 2 * JOBS + 1
"""Many more than an outbox of 1 MiB holds."""
CAMPAIGN = TaskSet([Task(pkg="hey", period=10, numberofjobs=JOBS, priority=[1, 2])])

Trouble = Callable[[Broker, HandshakeCutter, Service, Path], None]


def stop_the_broker(broker: Broker, _link: HandshakeCutter, _service: Service, _outbox: Path) -> None:
    broker.stop()


def have_the_broker_hang(_broker: Broker, link: HandshakeCutter, _service: Service, _outbox: Path) -> None:
    link.fall_silent()


def fill_the_disk(_broker: Broker, _link: HandshakeCutter, service: Service, outbox: Path) -> None:
    """Leave room for a few pages of SQLite's log, so that batches find none, and single messages may."""
    pid = service.process.pid
    largest = max(path.stat().st_size for path in outbox.iterdir())
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + 16 * 1024, hard))


def make_room(service: Service) -> None:
    """The disk has room again; nothing changes where it always had."""
    with suppress(ProcessLookupError):  # it may have ended meanwhile
        _, hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def takes_nothing(service: Service) -> bool:
    return service.health().get("parts", {}).get("outbox", {}).get("ok") is False


@pytest.mark.parametrize(
    ("trouble", "outbox_max_mb"), [(stop_the_broker, 1), (have_the_broker_hang, 1), (fill_the_disk, 1024)]
)
def test_every_store_has_the_first_events_of_each_run_and_the_run_is_closed_and_retried(
    broker: Broker,
    amqp_vhost_url: str,
    postgres_database: str,
    tmp_path: Path,
    trouble: Trouble,
    outbox_max_mb: int,
) -> None:
    with (
        run_boards(2, speed=20) as boards,
        handshake_cutter(amqp_vhost_url) as link,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        for start in (services.sqlite_sink, services.csv_sink, services.controller):
            start()
        services.postgres_sink(postgres_database)
        first = services.distributor(amqp_url=link.url, outbox_max_mb=outbox_max_mb)
        with broker_client(amqp_vhost_url) as ear:
            submitted = {message.taskset_id for message in ear.submit(CAMPAIGN)}
            ear.wait_for(StartedMessage, 2)
            ear.wait_for(EventsMessage, 10)
        trouble(broker, link, first, tmp_path / "outbox")
        wait_until(lambda: takes_nothing(first), 60, "the outbox to take nothing more")
        first.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "is lost in this store" in first.log, 60, "the first batch to be given up")
        make_room(first)
        assert first.process.wait(timeout=60) == 0, first.log
        assert "and is killed" not in first.log
        broker.start()
        services.distributor()

        stores = [f"sqlite:{services.events_db}", f"csv:{services.parts}", postgres_database]

        def is_done() -> bool:
            report = verify(stores)
            return report.is_clean and (report.ended, report.not_ended) == (4, 0)

        wait_until(is_done, 120, f"four runs, whole, in {stores}")
        runs = stored_runs(services.events_db)
    assert {run.taskset_id for run in runs} == submitted
    assert sorted((run.attempt, run.outcome) for run in runs) == [
        *[(1, Outcome.DISTRIBUTOR_LOST)] * 2,
        *[(2, Outcome.FINISHED)] * 2,
    ]
    assert all(run.events == EVENTS for run in runs if run.attempt == 2)
    first_attempts = [run for run in runs if run.attempt == 1]
    assert all(0 < run.events < EVENTS for run in first_attempts)
    cut = [run for run in first_attempts if run.reason != "the distributor was shut down"]
    assert cut  # the other run is not, if nothing of it was in the batch that was given up
    assert all("could not be written" in run.reason or "has ended" in run.reason for run in cut)
