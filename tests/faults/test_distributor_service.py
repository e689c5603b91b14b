"""The distributor service while its broker is taken away in the middle of a run."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskgen.boards.limits import Limits
from taskgen.boards.taskloader_protocol import WORD, Command
from taskgen.messages.codec import EndedMessage, EventsMessage, QuarantinedMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.servers.rabbitmq import Broker
from tests.support.services import Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

JUNK = b"no profile"
PERIODIC = TaskSet([Task(pkg="hey", period=100, numberofjobs=100)])


@contextmanager
def no_room(service: Service) -> Iterator[None]:
    """A process that can make no file larger than 64 KiB: enough for its log, too little for its outbox."""
    pid = service.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (64 * 1024, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def floods(line: BoardConnection) -> None:
    """A board that has no end of what is no profile."""
    line.obey_until(Command.START)
    line.send_events(("START", 0, 1))
    while True:
        line.send((WORD.pack(len(JUNK)) + JUNK) * 1_000)


def is_outbox_ok(service: Service) -> bool | None:
    ok: bool | None = service.health().get("parts", {}).get("outbox", {}).get("ok")
    return ok


def test_a_run_continues_while_the_outbox_is_full_and_all_its_events_arrive_later(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(1, speed=2) as boards,
        Service("distributor", amqp_url=amqp_vhost_url, boards=boards[0], outbox_path=tmp_path) as service,
        broker_client(amqp_vhost_url) as lab,
    ):
        service.wait_healthy()
        lab.receive_from("ear").submit(PERIODIC)
        (started,) = lab.wait_for(StartedMessage)
        with no_room(service):
            wait_until(lambda: is_outbox_ok(service) is False, 60, "the distributor to miss the room")
            assert service.get("/healthz")[0] == 503
        wait_until(lambda: "JOBS_DONE" in lab.events_of(started.run.run_id), 60, "the last event")
        assert len(lab.events_of(started.run.run_id)) == 201
        lab.decide(started, Outcome.FINISHED)
        (ended,) = lab.wait_for(EndedMessage)
        assert (ended.outcome, ended.events) == (Outcome.FINISHED, 201)
        service.wait_healthy()


def test_a_run_continues_without_the_broker_and_all_its_events_arrive_later(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(1, speed=2) as boards,
        Service("distributor", amqp_url=amqp_vhost_url, boards=boards[0], outbox_path=tmp_path) as service,
    ):
        service.wait_healthy()
        with broker_client(amqp_vhost_url) as lab:
            lab.receive_from("ear").submit(PERIODIC)
            (started,) = lab.wait_for(StartedMessage)
            lab.wait_for(EventsMessage, 3)
            said = lab.received
        broker.sync()
        broker.kill()
        wait_until(lambda: service.get("/healthz")[0] == 503, 30, "the distributor to miss its broker")
        broker.start()
        service.wait_healthy()
        with broker_client(amqp_vhost_url) as lab:
            lab.receive_from("ear").received = said
            wait_until(lambda: "JOBS_DONE" in lab.events_of(started.run.run_id), 60, "the last event")
            assert len(lab.events_of(started.run.run_id)) == 201
            lab.decide(started, Outcome.FINISHED)
            (ended,) = lab.wait_for(EndedMessage)
            assert (ended.outcome, ended.events) == (Outcome.FINISHED, 201)


def test_of_a_board_that_floods_little_is_published_and_its_run_ends(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        scripted_board(floods) as board,
        Service("distributor", amqp_url=amqp_vhost_url, boards=board, outbox_path=tmp_path) as service,
        broker_client(amqp_vhost_url) as lab,
    ):
        service.wait_healthy()
        lab.submit(TaskSet([Task(pkg="idle", period=10**9)]))
        (ended,) = lab.wait_for(EndedMessage)
        assert (ended.outcome, ended.events) == (Outcome.BOARD_ERROR, 1)
        assert "the board sent more than 1,000 pieces" in ended.reason
        assert "counted but not kept" in ended.reason
        assert "counted but not kept" in service.log
        assert len(lab.all_of(QuarantinedMessage)) == Limits().quarantined_pieces
        service.wait_healthy()


def test_the_run_of_a_board_that_does_not_obey_stop_is_closed_before_the_distributor_ends(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    def freezes(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1))
        line.wait_for_end()

    settings = {"amqp_url": amqp_vhost_url, "outbox_path": tmp_path, "answer_timeout_s": 1000}
    with (
        scripted_board(freezes) as board,
        broker_client(amqp_vhost_url) as lab,
        Service("distributor", boards=board, **settings) as service,
    ):
        service.wait_healthy()
        lab.submit(PERIODIC)
        lab.wait_for(EventsMessage)
        assert service.stop() == 0, service.log
        (ended,) = lab.wait_for(EndedMessage)
        assert (ended.outcome, ended.events) == (Outcome.DISTRIBUTOR_LOST, 1)
        assert ended.reason == "the distributor was shut down"
    assert not list(tmp_path.iterdir()), "nothing is left for another distributor to report"
