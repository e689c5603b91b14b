"""A board that another distributor takes while the broker is away, in the middle of a run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from taskgen.messages.codec import EndedMessage, EventsMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.servers.rabbitmq import Broker
from tests.support.services import Service

pytestmark = pytest.mark.servers

LONG = TaskSet([Task(pkg="hey", period=100, numberofjobs=1000)])


def test_its_run_is_ended_as_lost_and_the_other_boards_continue(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(2, speed=2) as boards,
        Service(
            "distributor", amqp_url=amqp_vhost_url, boards=",".join(boards), outbox_path=tmp_path
        ) as service,
    ):
        service.wait_healthy()
        with broker_client(amqp_vhost_url) as lab:
            lab.receive_from("ear").submit(LONG)
            lab.submit(LONG)
            begun = {message.run.board: message for message in lab.wait_for(StartedMessage, 2)}
            lab.wait_for(EventsMessage, 3)
        broker.sync()
        service.process.send_signal(signal.SIGSTOP)  # so that the other one is the first to come back
        broker.kill()
        broker.start()
        with broker_client(amqp_vhost_url) as other:
            other.receive_from("ear").hold_lease(boards[0])
            service.process.send_signal(signal.SIGCONT)
            (lost,) = other.wait_for(EndedMessage, within_s=60)
            other.decide(begun[boards[1]], Outcome.FINISHED)
            _, finished = other.wait_for(EndedMessage, 2)
    assert (lost.run.board, lost.outcome) == (boards[0], Outcome.DISTRIBUTOR_LOST)
    assert "another distributor" in lost.reason
    assert (finished.run.board, finished.outcome) == (boards[1], Outcome.FINISHED)
