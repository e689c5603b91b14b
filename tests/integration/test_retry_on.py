"""A run whose end the lab counts as a fault of the board is attempted again, on another board if possible."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgen.distributor import Distributor
from taskgen.event import Profile, Stop
from taskgen.messages.codec import EndedMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.lab import lab
from tests.support.recording_handler import RecordingHandler

TOO_LITTLE_RAM = TaskSet([Task(pkg="hey", period=10), Task(pkg="hey", period=10, quota=100, numberofjobs=2)])
TOO_FEW_CAPS = TaskSet([Task(pkg="hey", period=10, numberofjobs=2, caps=1)])
REFUSED = TaskSet([Task(pkg="hey", period=10, numberofjobs=2, executiontime=20)])


def test_it_is_attempted_on_each_board_and_fails_with_the_reasons_of_all_attempts() -> None:
    log = RecordingHandler()
    with (
        run_boards(2, speed=20) as boards,
        Distributor(boards, event_handler=log, retry_on=["OUT_OF_QUOTA"], max_attempts=2) as distributor,
    ):
        campaign = distributor.start(TOO_LITTLE_RAM)
    assert campaign.outcomes == {Outcome.BOARD_ERROR: 2}
    assert {run.board for run in log.ended} == set(boards)
    assert {run.reason for run in log.ended} == {"task 1 ended with OUT_OF_QUOTA"}
    assert [what for what, _ in log.calls if what in {"finish", "stop"}] == ["stop", "stop"]
    (failed,) = campaign.failed
    assert failed.reasons == tuple(
        f"attempt {run.attempt} on {run.board}: task 1 ended with OUT_OF_QUOTA" for run in log.ended
    )


def test_without_it_the_same_run_is_a_result() -> None:
    with run_boards(1, speed=20) as boards, Distributor(boards) as distributor:
        assert distributor.start(TOO_LITTLE_RAM).outcomes == {Outcome.FINISHED: 1}


def test_a_board_without_the_fault_gives_the_variant_its_result() -> None:
    log = RecordingHandler()
    with (
        run_boards(1, speed=20, dialect="new") as newer,  # only this one says OUT_OF_CAPS
        run_boards(1, speed=20, dialect="old") as older,
        Distributor(
            newer + older,
            event_handler=log,
            retry_on="OUT_OF_CAPS",
            max_attempts=1_000,  # the older board is available only after its probe
            probe_timeout_s=0.3,
        ) as distributor,
    ):
        campaign = distributor.start(TOO_FEW_CAPS)
    assert not campaign.failed
    *attempts, result = log.ended
    assert {(run.board, run.outcome) for run in attempts} == {(newer[0], Outcome.BOARD_ERROR)}
    assert (result.board, result.outcome) == (older[0], Outcome.FINISHED)


def test_a_task_whose_releases_were_all_refused_has_too_few_jobs() -> None:
    log = RecordingHandler()
    with (
        run_boards(1, speed=20) as boards,
        Distributor(boards, event_handler=log, retry_on="TOO_FEW_JOBS", max_attempts=1) as distributor,
    ):
        distributor.start(REFUSED)
    assert log.ended[0].reason == "task 0 ended with TOO_FEW_JOBS (0 of 2)"


def test_a_rule_that_stops_a_run_early_keeps_its_result() -> None:
    class Early(RecordingHandler):
        def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
            super().__taskset_event__(taskset, event)
            return Stop("one job is enough") if "EXIT" in self.types else True

    log = Early()
    with (
        run_boards(1, speed=20) as boards,
        Distributor(boards, event_handler=log, retry_on="TOO_FEW_JOBS") as distributor,
    ):
        campaign = distributor.start(TaskSet([Task(pkg="hey", period=100, numberofjobs=50)]))
    assert campaign.outcomes == {Outcome.STOPPED_BY_RULE: 1}
    assert log.ended[0].reason == "one job is enough"


@pytest.mark.servers
def test_the_controller_has_it_attempted_again_and_the_run_s_end_says_why(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(2, speed=20) as boards,
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        services.controller(retry_on="OUT_OF_QUOTA")
        services.distributor()
        ear.submit(TOO_LITTLE_RAM, max_attempts=2)
        ended = ear.wait_for(EndedMessage, 2)
    assert {one.run.board for one in ended} == set(boards)
    assert {(one.outcome, one.reason) for one in ended} == {
        (Outcome.BOARD_ERROR, "task 1 ended with OUT_OF_QUOTA")
    }
