"""Controllers, their database and their broker are killed; no task-set is lost, and each has one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from taskgen.amqp.topology import TASKSETS
from taskgen.messages.codec import DecisionMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.state.opening import open_state
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.fake_distributor import FakeDistributor
from tests.support.lab import lab, results
from tests.support.servers.rabbitmq import Broker
from tests.support.servers.server import Server
from tests.support.services import Service
from tests.support.tasksets import TWO_JOBS
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

CAMPAIGN = TaskSet([Task(pkg="hey", period=20, numberofjobs=10, priority=list(range(40)))])


def wait_turn(service: Service, reason: str) -> None:
    """Wait for what a controller says of its turn."""

    def is_so() -> bool:
        parts = service.health().get("parts", {})
        return str(parts.get("standby", {}).get("reason", "")) == reason

    wait_until(is_so, 30, reason)


def test_controllers_are_killed_in_turn_and_every_task_set_runs_once(
    amqp_vhost_url: str, tmp_path: Path, postgres_database: str
) -> None:
    with (
        run_boards(4, speed=2) as boards,
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        active = services.controller(state_url=postgres_database)
        services.distributor()
        submitted = {message.taskset_id for message in ear.submit(CAMPAIGN)}
        for number in range(1, 6):
            standby = services.controller(state_url=postgres_database)
            wait_turn(standby, "another controller is active")
            assert standby.get("/healthz")[0] == 200
            wait_until(lambda number=number: len(results(ear)) >= 6 * number, 60, "more results")  # type: ignore[misc]
            active.kill()
            active = standby
            wait_turn(active, "this controller is active")
        wait_until(lambda: len(results(ear)) >= len(submitted), 90, "every task-set to have a result")
        ended = results(ear)
        assert Counter(message.run.taskset_id for message in ended) == Counter(submitted)
        assert {message.outcome for message in ended} == {Outcome.FINISHED}
        started = {message.run.run_id for message in ear.all_of(StartedMessage)}
        assert len(started) == len(submitted)
        state = open_state(postgres_database)
        wait_until(lambda: state.run_counts() == {"finished": len(submitted)}, 30, "all to be counted")
        assert not state.live_runs()
        state.close()


@pytest.fixture
def distributor(amqp_vhost_url: str) -> Iterator[FakeDistributor]:
    with broker_client(amqp_vhost_url) as ear:
        distributor = FakeDistributor(ear)
        distributor.hold_lease()
        yield distributor


def test_a_restarted_controller_decides_from_its_stored_state(
    amqp_vhost_url: str, tmp_path: Path, distributor: FakeDistributor
) -> None:
    settings = {"amqp_url": amqp_vhost_url, "state_url": f"sqlite:{tmp_path / 'state.db'}"}
    with Service("controller", **settings) as first:
        first.wait_healthy()
        distributor.client.submit(TWO_JOBS)
        run = distributor.start(distributor.take())
        distributor.report(run, 0, "START", "EXIT", "START")
        state = open_state(str(settings["state_url"]))
        wait_until(lambda: len(list(state.jobs(run.run_id))) == 2, 30, "the controller to keep the jobs")
        state.close()
        first.kill()
    distributor.report(run, 3, "EXIT")
    with Service("controller", **settings):
        decision = distributor.wait_for_decision()
    assert (decision.run_id, decision.outcome) == (run.run_id, Outcome.FINISHED)


def test_a_database_that_is_down_delays_decisions_and_loses_none(
    amqp_vhost_url: str, postgres_database: str, postgres: Server, distributor: FakeDistributor
) -> None:
    with Service("controller", amqp_url=amqp_vhost_url, state_url=postgres_database) as controller:
        controller.wait_healthy()
        distributor.client.submit(TWO_JOBS)
        run = distributor.start(distributor.take())
        distributor.report(run, 0, "START", "EXIT")
        postgres.stop()
        wait_until(lambda: controller.get("/healthz")[0] == 503, 30, "it to say that it cannot work")
        distributor.report(run, 2, "START", "EXIT")
        postgres.start()
        assert distributor.wait_for_decision().run_id == run.run_id
        wait_until(lambda: controller.get("/healthz")[0] == 200, 30, "it to be well again")


def test_the_controller_waits_for_a_database_that_is_down_at_its_start(
    amqp_vhost_url: str, postgres_database: str, postgres: Server
) -> None:
    postgres.stop()
    with Service("controller", amqp_url=amqp_vhost_url, state_url=postgres_database) as controller:
        wait_until(lambda: controller.get("/healthz")[0] == 503, 30, "it to say that it cannot work")
        postgres.start()
        controller.wait_healthy()


def test_a_full_queue_delays_requeued_task_sets_and_no_decision(
    amqp_vhost_url: str, tmp_path: Path, broker: Broker, distributor: FakeDistributor
) -> None:
    client, vhost = distributor.client, amqp_vhost_url.rpartition("/")[2]
    state_url = f"sqlite:{tmp_path / 'state.db'}"
    with Service("controller", amqp_url=amqp_vhost_url, state_url=state_url) as controller:
        controller.wait_healthy()
        client.submit(TaskSet([Task(pkg="hey", period=10, numberofjobs=2, priority=[1, 2, 3])]))
        lost, run = distributor.start(distributor.take()), distributor.start(distributor.take())
        limit = '{"max-length": 1, "overflow": "reject-publish"}'
        broker.ctl("set_policy", "-p", vhost, "limit", f"^{TASKSETS}$", limit, "--apply-to", "queues")
        client.submit_until_refused(TWO_JOBS)
        distributor.end(lost, Outcome.BOARD_LOST)
        distributor.report(run, 0, "START", "EXIT", "START", "EXIT")
        assert distributor.wait_for_decision().run_id == run.run_id
        taken = []

        def is_requeued() -> bool:
            if client.depth(TASKSETS):
                taken.append(distributor.take())
            return any(one.taskset_id == lost.taskset_id for one in taken)

        wait_until(is_requeued, 60, "the lost run's task-set to come when there is room")
        assert taken[-1].attempt == 2


def test_a_broker_that_is_restarted_is_found_again(
    amqp_vhost_url: str, tmp_path: Path, broker: Broker
) -> None:
    state_url = f"sqlite:{tmp_path / 'state.db'}"
    with Service("controller", amqp_url=amqp_vhost_url, state_url=state_url, lost_after_s=5) as controller:
        controller.wait_healthy()
        with ExitStack() as stack:
            distributor = FakeDistributor(stack.enter_context(broker_client(amqp_vhost_url)))
            distributor.client.submit(TWO_JOBS)
            run = distributor.start(distributor.take())
            distributor.report(run, 0, "START", "EXIT")
            distributor.status(run)
        broker.stop()
        wait_until(lambda: controller.get("/healthz")[0] == 503, 30, "it to miss the broker")
        broker.start()
        with broker_client(amqp_vhost_url) as ear:
            distributor = FakeDistributor(ear)
            distributor.hold_lease()

            def is_on() -> bool:
                distributor.status(run)
                return controller.get("/healthz")[0] == 200

            wait_until(is_on, 60, "it to be well again")
            distributor.report(run, 2, "START", "EXIT")
            assert distributor.wait_for_decision() == DecisionMessage(
                run_id=run.run_id, outcome=Outcome.FINISHED
            )
            assert ear.depth(TASKSETS) == 0, "the time without the broker is nobody's silence"
        assert "taskgen_reconnects_total 1.0" in controller.get("/metrics")[1]
