"""What the controller decided reaches the broker, also when it dies between the decision and the sending."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.controller.controller import Controller
from taskgen.amqp.channel import Delivery
from taskgen.amqp.connection import connection
from taskgen.amqp.topology import TASKSETS
from taskgen.event import DefaultEventHandler
from taskgen.messages.codec import EndedMessage, Message, TaskSetMessage
from taskgen.run import Outcome, now
from taskgen.state.opening import open_state
from taskgen.state.state import State
from tests.support.broker_client import BrokerClient, broker_client
from tests.support.message_factory import events_message, run_head, started_message
from tests.support.tasksets import TWO_JOBS

pytestmark = pytest.mark.servers

DELIVERY = Delivery(1, b"", "", "", {}, is_redelivered=False)


@pytest.fixture
def lab(amqp_vhost_url: str) -> Iterator[BrokerClient]:
    with broker_client(amqp_vhost_url) as ear:
        yield ear


class Lives:
    """The controller in one life after the other, with the same state."""

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self._state_url = f"sqlite:{path}"

    def state(self) -> State:
        return open_state(self._state_url)

    def live(self, *messages: Message, is_sending: bool = True, is_noting: bool = True) -> None:
        """Take a batch, and die before it is sent or before that is noted, if asked to."""
        state = self.state()
        controller = Controller(DefaultEventHandler(), state, "test")
        controller.tracker.claim()
        for message in messages:
            controller.tracker.take(message, DELIVERY)
        controller.tracker.commit()
        if is_sending:
            asyncio.run(self._send(controller, is_noting=is_noting))
        state.close()

    async def _send(self, controller: Controller, *, is_noting: bool) -> None:
        async with connection(self._url, "test") as link:
            channel = await link.channel(confirms=True)
            if is_noting:
                await controller.tracker.committed(channel)
            else:
                await controller.tracker.outgoing.publish(channel)


@pytest.fixture
def lives(amqp_vhost_url: str, tmp_path: Path) -> Lives:
    return Lives(amqp_vhost_url, tmp_path / "state.db")


def lost() -> list[Message]:
    run = run_head()
    end = EndedMessage(run=run, ended_at=now(), outcome=Outcome.BOARD_LOST, events=0)
    return [started_message(run), end]


def test_requeued_task_sets_are_sent_after_a_restart(lab: BrokerClient, lives: Lives) -> None:
    lives.live(*lost(), is_sending=False)
    assert lab.depth(TASKSETS) == 0
    lives.live()
    assert lab.depth(TASKSETS) == 1
    lives.live()
    assert lab.depth(TASKSETS) == 1


def test_messages_not_recorded_as_sent_are_resent_with_the_same_id(lab: BrokerClient, lives: Lives) -> None:
    lives.live(*lost(), is_noting=False)
    lives.live()
    bodies = [lab.take(TASKSETS), lab.take(TASKSETS)]
    assert bodies[0] == bodies[1] is not None
    assert TaskSetMessage.model_validate_json(bodies[0] or b"").attempt == 2


def test_a_redelivered_batch_decides_nothing_again(lab: BrokerClient, lives: Lives) -> None:
    batch = lost()
    lives.live(*batch)
    lives.live(*batch)
    assert lab.depth(TASKSETS) == 1


@pytest.mark.usefixtures("lab")
def test_a_decision_for_an_unowned_board_is_dropped(lives: Lives) -> None:
    run = run_head()
    message = started_message(run)
    (variant,) = TWO_JOBS.variants()
    tasks = [dict(task) for task in variant]
    begun = message.model_copy(update={"taskset": message.taskset.model_copy(update={"tasks": tasks})})
    lives.live(begun, events_message(run, 0, 4), is_sending=False)
    state = lives.state()
    assert len(state.outgoing()) == 1
    lives.live()
    assert state.outgoing() == []
    state.close()
