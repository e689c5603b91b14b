"""The distributor service on a real broker; the decisions are the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgen.amqp.topology import TASKSETS
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    RefusedMessage,
    StartedMessage,
    StatusMessage,
)
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from tests.support.broker_client import BrokerClient, broker_client
from tests.support.services import Service
from tests.support.tasksets import TWO_SHORT_RUNS, endless_and_short_task, endless_task
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


def test_events_of_a_board_are_published_once_and_a_decision_ends_the_run(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(2, speed=50) as boards,
        broker_client(amqp_vhost_url) as lab,
        Service(
            "distributor", amqp_url=amqp_vhost_url, boards=",".join(boards), outbox_path=tmp_path
        ) as service,
    ):
        service.wait_healthy()
        lab.submit(TWO_SHORT_RUNS)
        for started in lab.wait_for(StartedMessage, 2):
            wait_until(
                lambda run_id=started.run.run_id: lab.events_of(run_id)[-1:] == ["JOBS_DONE"],  # type: ignore[misc]
                20,
                "the last event",
            )
            lab.decide(started, Outcome.FINISHED)
        ended = lab.wait_for(EndedMessage, 2)
        assert {message.outcome for message in ended} == {Outcome.FINISHED}
        for message in ended:
            assert message.events == len(lab.events_of(message.run.run_id))
        assert lab.depth(TASKSETS) == 0
        assert service.stop() == 0


def test_a_killed_distributor_reports_its_runs_lost_when_it_starts_again(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with run_boards(1, speed=50) as boards, broker_client(amqp_vhost_url) as lab:
        settings = {"amqp_url": amqp_vhost_url, "boards": boards[0], "outbox_path": tmp_path}
        with Service("distributor", **settings) as first:
            first.wait_healthy()
            lab.submit(endless_and_short_task())
            (started,) = lab.wait_for(StartedMessage)
            lab.wait_for(EventsMessage)
            first.kill()
        with Service("distributor", **settings) as second:
            second.wait_healthy()
            (ended,) = lab.wait_for(EndedMessage)
            assert ended.run == started.run
            assert ended.outcome is Outcome.DISTRIBUTOR_LOST
            assert ended.events == len(lab.events_of(started.run.run_id))


def test_a_distributor_that_is_asked_to_end_stops_its_board_and_closes_the_run(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with run_boards(1, speed=50) as boards, broker_client(amqp_vhost_url) as lab:
        settings = {"amqp_url": amqp_vhost_url, "boards": boards[0], "outbox_path": tmp_path}
        with Service("distributor", **settings) as service:
            service.wait_healthy()
            lab.submit(endless_and_short_task())
            lab.wait_for(StartedMessage)
            lab.wait_for(EventsMessage)
            assert service.stop() == 0
        (ended,) = lab.wait_for(EndedMessage)
        assert ended.outcome is Outcome.DISTRIBUTOR_LOST
        assert lab.events_of(ended.run.run_id)[-1] == "EXIT_EXTERNAL"
        assert not list(tmp_path.iterdir())


def test_of_two_distributors_one_has_the_board_and_the_other_takes_it_over(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with run_boards(1, speed=50) as boards, broker_client(amqp_vhost_url) as lab:
        settings = {"amqp_url": amqp_vhost_url, "boards": boards[0]}
        with Service("distributor", **settings, outbox_path=tmp_path / "a", instance="a") as first:
            first.wait_healthy()
            wait_until(lambda: states(lab, "a") == ["idle"], 20, "the first to have the board")
            with Service("distributor", **settings, outbox_path=tmp_path / "b", instance="b") as second:
                second.wait_healthy()
                wait_until(lambda: states(lab, "b") == ["leased_elsewhere"], 20, "the second to wait")
                first.kill()
                wait_until(lambda: states(lab, "b") == ["idle"], 30, "the second to have the board")


def states(lab: BrokerClient, distributor: str) -> list[str]:
    """What a distributor said last of its boards."""
    said = [message for message in lab.all_of(StatusMessage) if message.distributor == distributor]
    return [board.state for board in said[-1].boards] if said else []


def test_a_task_set_without_its_binary_is_refused_and_poison_is_dead_lettered(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    (tmp_path / "binaries").mkdir()
    with run_boards(1) as boards, broker_client(amqp_vhost_url) as lab:
        lab.publish("", TASKSETS, b"{")
        lab.submit(endless_task())
        settings = {"amqp_url": amqp_vhost_url, "boards": boards[0], "outbox_path": tmp_path / "outbox"}
        with Service("distributor", **settings, binaries=tmp_path / "binaries") as service:
            service.wait_healthy()
            (refused,) = lab.wait_for(RefusedMessage)
            assert "there is no binary 'idle'" in refused.reason
            wait_until(lambda: lab.depth(f"{TASKSETS}.parked") == 1, 20, "the poison to be parked")
            assert lab.depth(TASKSETS) == 0
