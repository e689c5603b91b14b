"""The controller service on a real broker, with a fake distributor that reports what happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgen.amqp.topology import EVENTS, TASKSETS
from taskgen.messages.codec import ControllerStatusMessage, RefusedMessage, TaskSetMessage
from taskgen.run import Outcome, new_id
from taskgen.state.opening import open_state
from taskgen.state.state import RunRow
from tests.support.broker_client import BrokerClient, broker_client
from tests.support.fake_distributor import FakeDistributor
from tests.support.message_factory import BOARD
from tests.support.services import Service
from tests.support.tasksets import TWO_JOBS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

ALL_JOBS = ("START", "EXIT", "START", "EXIT")


@pytest.fixture
def state_url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'state.db'}"


@pytest.fixture
def lab(amqp_vhost_url: str) -> Iterator[BrokerClient]:
    with broker_client(amqp_vhost_url) as ear:
        yield ear


@pytest.fixture
def distributor(lab: BrokerClient) -> FakeDistributor:
    distributor = FakeDistributor(lab)
    distributor.hold_lease()
    return distributor


@pytest.fixture
def controller(amqp_vhost_url: str, state_url: str, lab: BrokerClient) -> Iterator[Service]:
    with Service("controller", amqp_url=amqp_vhost_url, state_url=state_url, lost_after_s=5) as service:
        yield service.wait_healthy()


def submitted(lab: BrokerClient, **fields: object) -> TaskSetMessage:
    (message,) = lab.submit(TWO_JOBS, **{"campaign_id": new_id(), **fields})
    return message


def counts(state_url: str, message: TaskSetMessage) -> dict[str, int]:
    """What the controller has counted of a task-set's campaign."""
    state = open_state(state_url)
    try:
        found = state.campaign_counts(50).get(message.campaign_id, {})
    finally:
        state.close()
    return {name: number for name, number in found.items() if number}


def wait_counts(state_url: str, message: TaskSetMessage, **expected: int) -> None:
    wait_until(lambda: counts(state_url, message) == expected, 30, f"{expected} to be counted")


def run_row(state_url: str, run_id: str) -> RunRow:
    state = open_state(state_url)
    try:
        row = state.run(run_id)
    finally:
        state.close()
    assert row is not None
    return row


@pytest.mark.usefixtures("controller")
def test_a_run_whose_tasks_are_all_terminated_is_decided_finished(
    lab: BrokerClient, distributor: FakeDistributor, state_url: str
) -> None:
    message = submitted(lab)
    run = distributor.start(distributor.take())
    distributor.report(run, 0, *ALL_JOBS[:3])
    wait_counts(state_url, message, running=1)
    assert distributor.decisions() == []
    distributor.report(run, 3, *ALL_JOBS[3:])
    decision = distributor.wait_for_decision()
    assert (decision.run_id, decision.outcome) == (run.run_id, Outcome.FINISHED)
    distributor.end(run, Outcome.FINISHED, 4)
    wait_counts(state_url, message, finished=1)


def test_a_users_handler_stops_a_run_by_its_rule(
    amqp_vhost_url: str, state_url: str, lab: BrokerClient, distributor: FakeDistributor
) -> None:
    handler = "tests.support.own_handlers:StopAtFirstExit"
    with Service("controller", amqp_url=amqp_vhost_url, state_url=state_url, handler=handler) as controller:
        controller.wait_healthy()
        submitted(lab)
        run = distributor.start(distributor.take())
        distributor.report(run, 0, "START", "EXIT")
        assert distributor.wait_for_decision().outcome is Outcome.STOPPED_BY_RULE


@pytest.mark.usefixtures("controller")
def test_the_task_set_of_a_run_without_a_result_is_requeued_until_its_attempts_are_used_up(
    lab: BrokerClient, distributor: FakeDistributor, state_url: str
) -> None:
    message = submitted(lab, max_attempts=2)
    first = distributor.start(distributor.take())
    distributor.end(first, Outcome.BOARD_LOST, reason="it is silent")
    wait_counts(state_url, message, waiting=1)
    again = distributor.take()
    assert (again.taskset_id, again.attempt, again.tried) == (message.taskset_id, 2, [BOARD])
    assert again.reasons == [f"attempt 1 on {BOARD}: it is silent"]
    second = distributor.start(again)
    wait_counts(state_url, message, running=1)
    distributor.end(second, Outcome.BOARD_ERROR)
    wait_counts(state_url, message, bad=1)
    assert lab.depth(TASKSETS) == 0


def test_a_run_with_an_end_that_the_lab_counts_as_a_fault_is_decided_a_board_error_and_attempted_again(
    amqp_vhost_url: str, state_url: str, lab: BrokerClient, distributor: FakeDistributor
) -> None:
    settings = {"state_url": state_url, "retry_on": "EXIT_ERROR,TOO_FEW_JOBS"}
    with Service("controller", amqp_url=amqp_vhost_url, **settings) as controller:
        controller.wait_healthy()
        message, reasons = submitted(lab, max_attempts=2), []
        for ends in (("START", "EXIT_ERROR", "START", "EXIT"), ("START", "EXIT", "JOBS_DONE")):
            run = distributor.start(distributor.take())
            distributor.report(run, 0, *ends)
            decision = distributor.wait_for_decision()
            assert (decision.run_id, decision.outcome) == (run.run_id, Outcome.BOARD_ERROR)
            reasons.append(decision.reason)
            distributor.end(run, decision.outcome, len(ends), decision.reason)
        assert reasons == ["task 0 ended with EXIT_ERROR", "task 0 ended with TOO_FEW_JOBS (1 of 2)"]
        wait_counts(state_url, message, bad=1)


@pytest.mark.usefixtures("controller")
def test_a_result_is_never_retried(lab: BrokerClient, distributor: FakeDistributor, state_url: str) -> None:
    for outcome in Outcome:
        if outcome.is_result:
            message = submitted(lab)
            distributor.end(distributor.start(distributor.take()), outcome)
            wait_counts(state_url, message, **{outcome.value: 1})
    assert lab.depth(TASKSETS) == 0


@pytest.mark.usefixtures("controller")
def test_its_status_reports_the_progress_of_campaigns(
    lab: BrokerClient, distributor: FakeDistributor
) -> None:
    message = submitted(lab)
    distributor.end(distributor.start(distributor.take()), Outcome.TIMED_OUT)
    submitted(lab, campaign_id=message.campaign_id)
    distributor.start(distributor.take())

    def said() -> ControllerStatusMessage | None:
        last = lab.all_of(ControllerStatusMessage)[-1:]
        campaigns = last[0].campaigns if last else []
        return last[0] if campaigns and campaigns[0].running and campaigns[0].done else None

    wait_until(lambda: said() is not None, 30, "a status with both runs")
    status = said()
    assert status is not None
    assert (status.runs, status.bad) == ({"running": 1, "timed_out": 1}, 0)
    (report,) = status.campaigns
    assert (report.running, report.done, report.outcomes) == (1, 1, {Outcome.TIMED_OUT: 1})


@pytest.mark.usefixtures("controller")
def test_a_refused_task_set_fails_at_once_and_a_cancelled_one_does_not(
    lab: BrokerClient, state_url: str
) -> None:
    failed, cancelled = submitted(lab), submitted(lab)
    for message, is_called_off in ((failed, False), (cancelled, True)):
        refused = RefusedMessage(taskset=message, reason="so it is", is_called_off=is_called_off)
        lab.publish(EVENTS, f"refused.{message.taskset_id}", refused.body())
        lab.publish(EVENTS, f"refused.{message.taskset_id}", refused.body())
    wait_counts(state_url, failed, bad=1)
    wait_counts(state_url, cancelled, called_off=1)


@pytest.mark.usefixtures("controller")
def test_the_runs_of_a_silent_distributor_are_lost_and_their_late_end_is_stored_unchanged(
    lab: BrokerClient, distributor: FakeDistributor, state_url: str
) -> None:
    message = submitted(lab)
    first = distributor.start(distributor.take())
    distributor.report(first, 0, "START")
    again = distributor.take()
    assert "silent" in again.reasons[0]
    assert run_row(state_url, first.run_id).outcome == Outcome.DISTRIBUTOR_LOST
    second = FakeDistributor(lab, "another").start(again)
    distributor.report(first, 1, *ALL_JOBS[1:])
    assert distributor.wait_for_decision().run_id == first.run_id
    distributor.end(first, Outcome.FINISHED, 4)
    wait_counts(state_url, message, finished=1)
    late = run_row(state_url, first.run_id)
    assert (late.outcome, late.next_seq, late.events) == (Outcome.FINISHED, 4, 4)
    FakeDistributor(lab, "another").end(second, Outcome.BOARD_LOST)
    wait_until(lambda: run_row(state_url, second.run_id).is_closed, 30, "the second run to be over")
    wait_counts(state_url, message, finished=1)
    assert lab.depth(TASKSETS) == 0


@pytest.mark.usefixtures("controller")
def test_a_lost_run_that_is_reported_lost_as_well_is_requeued_once(
    lab: BrokerClient, distributor: FakeDistributor, state_url: str
) -> None:
    submitted(lab)
    first = distributor.start(distributor.take())
    distributor.take()
    distributor.end(first, Outcome.DISTRIBUTOR_LOST)
    wait_until(lambda: run_row(state_url, first.run_id).is_closed, 30, "the run to be over")
    assert lab.depth(TASKSETS) == 0


@pytest.mark.usefixtures("controller")
def test_a_run_is_lost_when_its_distributor_no_longer_reports_it(
    lab: BrokerClient, distributor: FakeDistributor, state_url: str
) -> None:
    gone, shown = submitted(lab), submitted(lab)
    runs = [distributor.start(distributor.take()), distributor.start(distributor.take(), "127.0.10.2:3001")]

    def is_requeued() -> bool:
        distributor.status(runs[1])
        return lab.depth(TASKSETS) == 1

    wait_until(is_requeued, 30, "the run that is not shown to be requeued")
    again = distributor.take()
    assert again.taskset_id == gone.taskset_id
    assert "not reported it" in again.reasons[0]
    wait_counts(state_url, shown, running=1)


@pytest.mark.usefixtures("controller")
def test_a_decision_is_resent_while_the_run_continues(
    lab: BrokerClient, distributor: FakeDistributor
) -> None:
    submitted(lab)
    run = distributor.start(distributor.take())
    distributor.report(run, 0, *ALL_JOBS)
    distributor.wait_for_decision()

    def is_sent_again() -> bool:
        distributor.status(run)
        return bool(distributor.decisions())

    wait_until(is_sent_again, 30, "the decision to come again")


@pytest.mark.usefixtures("controller")
def test_the_later_of_two_runs_of_one_task_set_is_stopped_and_does_not_count(
    lab: BrokerClient, distributor: FakeDistributor, state_url: str
) -> None:
    message = submitted(lab)
    other_board = "127.0.10.2:3001"
    distributor.hold_lease(other_board)
    taken = distributor.take()
    first, second = distributor.start(taken), distributor.start(taken, other_board)
    found = []

    def is_stopped() -> bool:
        distributor.status(first, second)
        found.extend(distributor.decisions(other_board))
        return bool(found)

    wait_until(is_stopped, 30, "the later run to be stopped")
    distributor.end(second, found[0].outcome)
    distributor.end(first, Outcome.BOARD_LOST)
    again = distributor.take()
    assert again.attempt == 2
    third = distributor.start(again)
    distributor.end(third, Outcome.FINISHED)
    wait_counts(state_url, message, finished=1)
    duplicate = distributor.start(taken)
    assert distributor.wait_for_decision().run_id == duplicate.run_id
    assert lab.depth(TASKSETS) == 0


@pytest.mark.usefixtures("controller")
def test_an_invalid_message_is_dead_lettered_and_the_next_one_is_handled(
    lab: BrokerClient, distributor: FakeDistributor, state_url: str
) -> None:
    lab.publish("", "taskgen.controller", b"{")
    message = submitted(lab)
    distributor.end(distributor.start(distributor.take()), Outcome.FINISHED)
    wait_counts(state_url, message, finished=1)
    assert lab.depth("taskgen.controller.parked") == 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"state_url": "mysql://host/db"}, "TASKGEN_STATE_URL: mysql:"),
        ({"handler": "no_such_module:Handler"}, "TASKGEN_HANDLER: no_such_module"),
        ({"lost_after_s": "soon"}, "TASKGEN_LOST_AFTER_S"),
        ({"retry_on": "EXIT"}, "TASKGEN_RETRY_ON: there is no retry on 'EXIT'; choose from EXIT_ERROR, "),
    ],
)
def test_a_wrong_setting_ends_it_at_once_with_one_line(settings: dict[str, str], line: str) -> None:
    with Service("controller", **settings) as service:
        assert service.process.wait(timeout=30) == 2
        said = [text for text in service.log.splitlines() if text.startswith("controller: ")]
        assert len(said) == 1
        assert line in said[0]
        assert "Traceback" not in service.log
