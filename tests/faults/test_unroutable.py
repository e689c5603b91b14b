"""Messages that no queue takes: they wait, the others overtake them, and none is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.distributor.outbox import Change, Entry
from taskgen.amqp.topology import CONTROLLER
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    QuarantinedMessage,
    StartedMessage,
    StatusMessage,
)
from taskgen.run import Outcome, now
from taskgen.simulation import run_boards
from tests.support.broker_client import broker_client
from tests.support.outboxes import leave_outbox_behind
from tests.support.services import Service
from tests.support.tasksets import TWO_SHORT_RUNS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

OF_RUNS = ("started", "events", "finished", "stopped")


def quarantined(count: int) -> list[Change]:
    messages = [
        QuarantinedMessage(board="b", reason="stray", received_at=now(), data_base64="") for _ in range(count)
    ]
    return [Change(Entry("quarantined.b", message.message_id, message.body())) for message in messages]


def waiting(service: Service) -> int:
    """How many messages are in its outbox, as it says itself."""
    found = re.search(r"^taskgen_outbox_messages (\d+)", service.get("/metrics")[1], re.MULTILINE)
    return int(found[1]) if found else -1


def test_unroutable_messages_delay_no_run_and_are_published_once_routable(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    leave_outbox_behind(tmp_path, quarantined(1_500))
    with (
        run_boards(2, speed=50) as boards,
        broker_client(amqp_vhost_url) as lab,
        Service(
            "distributor", amqp_url=amqp_vhost_url, boards=",".join(boards), outbox_path=tmp_path
        ) as service,
    ):
        lab.receive_only(*OF_RUNS)
        service.wait_healthy()
        wait_until(lambda: waiting(service) == 1_500, 30, "the outbox to be adopted")
        lab.submit(TWO_SHORT_RUNS)
        for started in lab.wait_for(StartedMessage, 2):
            run_id = started.run.run_id
            wait_until(lambda r=run_id: lab.events_of(r)[-1:] == ["JOBS_DONE"], 30, "the last event")  # type: ignore[misc]
            lab.decide(started, Outcome.FINISHED)
        lab.wait_for(EndedMessage, 2)
        wait_until(lambda: waiting(service) == 1_500, 30, "all else to be published")
        assert service.get("/healthz")[0] == 200
        assert service.log.count("no queue accepts messages of quarantined") == 1
        lab.receive_only("quarantined")
        assert len(lab.wait_for(QuarantinedMessage, 1_500)) == 1_500
        wait_until(lambda: waiting(service) == 0, 30, "the outbox to be empty")


def test_an_unroutable_run_makes_the_service_unhealthy_and_is_published_in_order_once_routable(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(1, speed=50) as boards,
        broker_client(amqp_vhost_url) as lab,
        Service("distributor", amqp_url=amqp_vhost_url, boards=boards[0], outbox_path=tmp_path) as service,
    ):
        service.wait_healthy()
        wait_until(lambda: "publishing" in service.health()["parts"], 30, "the queues to be declared")
        lab.receive_only("quarantined").delete(CONTROLLER)
        lab.submit(TWO_SHORT_RUNS)
        wait_until(lambda: waiting(service) >= 3, 30, "a start and events to wait")
        wait_until(lambda: service.get("/healthz")[0] == 503, 30, "the distributor to miss its readers")
        assert "no queue accepts messages of events, " in service.health()["parts"]["publishing"]["reason"]
        lab.receive_only(*OF_RUNS)
        service.wait_healthy()
        (started,) = lab.wait_for(StartedMessage)
        wait_until(lambda: lab.events_of(started.run.run_id)[-1:] == ["JOBS_DONE"], 30, "the last event")
        assert next(message for message in lab.received if not isinstance(message, StatusMessage)) == started
        firsts = [message.first_seq for message in lab.all_of(EventsMessage)]
        assert firsts == sorted(firsts)
