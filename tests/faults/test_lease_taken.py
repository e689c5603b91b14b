"""A board that another distributor takes while the broker is away, in the middle of a run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from taskgen.amqp.messages import EndedMessage, EventsMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.servers.choose import Broker
from tests.services import Service
from tests.wire import wire

pytestmark = pytest.mark.servers

LONG = TaskSet([Task(pkg="hey", period=100, numberofjobs=1000)])


def test_its_run_is_ended_as_lost_so_that_the_board_is_free_for_its_new_owner(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(1, speed=2) as boards,
        Service("distributor", amqp_url=amqp_vhost_url, boards=boards[0], outbox_path=tmp_path) as service,
    ):
        service.wait_healthy()
        with wire(amqp_vhost_url) as lab:
            lab.hear_from("ear").submit(LONG)
            lab.wait_for(EventsMessage, 3)
        broker.sync()
        service.process.send_signal(signal.SIGSTOP)  # so that the other one is the first to come back
        broker.kill()
        broker.start()
        with wire(amqp_vhost_url) as other:
            other.hear_from("ear").serve(boards[0])
            service.process.send_signal(signal.SIGCONT)
            (ended,) = other.wait_for(EndedMessage, within_s=60)
    assert ended.outcome is Outcome.DISTRIBUTOR_LOST
    assert "another distributor" in ended.reason
