"""One message or one row that makes no sense costs its run at most, and never the controller."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from taskgen.amqp.topology import CONTROLLER, EVENTS
from taskgen.messages.codec import RunHead, StartedMessage, TaskSetMessage
from taskgen.run import Outcome
from taskgen.state.opening import open_state
from taskgen.state.state import RunRow
from tests.support.broker_client import broker_client, dead_letters_of
from tests.support.fake_distributor import FakeDistributor
from tests.support.services import Service
from tests.support.tasksets import TWO_JOBS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

ALL_JOBS = ("START", "EXIT", "START", "EXIT")
OTHER_BOARD = "127.0.10.2:3001"


class Lab:
    """A controller that may be killed and started, and a stand-in for its distributor."""

    def __init__(self, url: str, state: Path, distributor: FakeDistributor) -> None:
        self.url = url
        self.state = state
        self.distributor = distributor

    def controller(self) -> Service:
        return Service("controller", amqp_url=self.url, state_url=f"sqlite:{self.state}")

    def submitted(self) -> TaskSetMessage:
        self.distributor.client.submit(TWO_JOBS)
        return self.distributor.take()

    def change(self, statement: str, *values: str) -> None:
        """What somebody does to the state by hand."""
        with closing(sqlite3.connect(self.state)) as database, database:
            assert database.execute(statement, values).rowcount == 1

    def row(self, run: RunHead) -> RunRow | None:
        with closing(open_state(f"sqlite:{self.state}")) as state:
            return state.run(run.run_id)

    def finishes(self, message: TaskSetMessage) -> None:
        """A run is followed to its decision."""
        run = self.distributor.start(message)
        self.distributor.report(run, 0, *ALL_JOBS)
        decision = self.distributor.wait_for_decision()
        assert (decision.run_id, decision.outcome) == (run.run_id, Outcome.FINISHED)
        self.distributor.end(run, Outcome.FINISHED, 4)


@pytest.fixture
def lab(amqp_vhost_url: str, tmp_path: Path) -> Iterator[Lab]:
    with broker_client(amqp_vhost_url) as ear:
        distributor = FakeDistributor(ear)
        distributor.hold_lease()
        distributor.hold_lease(OTHER_BOARD)
        yield Lab(amqp_vhost_url, tmp_path / "state.db", distributor)


def test_a_start_whose_run_is_of_another_task_set_is_rejected_and_the_next_controller_starts(
    lab: Lab,
) -> None:
    with lab.controller() as controller:
        controller.wait_healthy()
        message = lab.submitted()
        run = lab.distributor.start(lab.submitted(), OTHER_BOARD)
        other = StartedMessage.model_construct(
            run=run.model_copy(update={"run_id": "r", "taskset_id": "another"}), taskset=message
        )
        lab.distributor.client.publish(EVENTS, f"started.{OTHER_BOARD}", other.body())

        def is_dead_lettered() -> bool:
            letters = dead_letters_of(lab.url, CONTROLLER)
            return ["have different taskset_ids" in one.reason for one in letters] == [True]

        wait_until(is_dead_lettered, 30, "it to be dead-lettered")
        controller.kill()
    with lab.controller() as controller:
        controller.wait_healthy()
        lab.finishes(message)
        assert controller.stop() == 0


def test_a_run_whose_task_set_is_missing_is_closed_and_its_board_stopped(lab: Lab) -> None:
    """So a controller of before left it that was given such a start."""
    with lab.controller() as controller:
        controller.wait_healthy()
        message = lab.submitted()
        run = lab.distributor.start(lab.submitted(), OTHER_BOARD)
        wait_until(lambda: lab.row(run) is not None, 30, "the run to be known")
        controller.kill()
    lab.change("DELETE FROM tasksets WHERE taskset_id = ?", run.taskset_id)
    for is_first in (True, False):
        with lab.controller() as controller:
            controller.wait_healthy()
            lab.distributor.report(run, 0, "START")
            wait_until(lambda: (row := lab.row(run)) is not None and row.is_closed, 30, "it to be closed")
            controller.kill()
            assert (run.run_id in controller.log) is is_first, "it is closed once"
    assert lab.distributor.wait_for_decision(OTHER_BOARD).outcome is Outcome.STOPPED_BY_RULE
    with lab.controller() as controller:
        lab.finishes(message)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET decision = 'exploded' WHERE run_id = ?",
        "UPDATE runs SET done_tasks = '[[]]' WHERE run_id = ?",
        "UPDATE jobs SET start_ms = 'noon' WHERE run_id = ?",
        "UPDATE early SET body = '{' WHERE run_id = ?",
    ],
)
def test_a_run_whose_row_is_invalid_is_closed_and_its_task_set_retried(lab: Lab, change: str) -> None:
    with lab.controller() as controller:
        controller.wait_healthy()
        message = lab.submitted()
        run = lab.distributor.start(lab.submitted(), OTHER_BOARD)
        lab.distributor.report(run, 2, "START")
        lab.distributor.report(run, 0, "START")
        wait_until(lambda: (row := lab.row(run)) is not None and row.next_seq == 1, 30, "an event")
        controller.kill()
    lab.change(change, run.run_id)
    with lab.controller() as controller:
        controller.wait_healthy()
        lab.distributor.report(run, 1, "EXIT")
        again = lab.distributor.take()
        assert (again.taskset_id, again.attempt) == (run.taskset_id, 2)
        assert "is invalid" in again.reasons[0]
        assert lab.distributor.wait_for_decision(OTHER_BOARD).run_id == run.run_id
        lab.finishes(message)
        assert f"run {run.run_id} is closed" in controller.log
        assert controller.stop() == 0
