"""Task-sets that a board cannot run are refused before a run, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgen.distributor import Distributor
from taskgen.messages.codec import RefusedMessage
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.lab import lab
from tests.support.recording_handler import RecordingHandler

WITHOUT_JOBS = Task(pkg="hey", period=10, numberofjobs=[0, 2])
WITHOUT_PERIOD = Task(pkg="hey", period=[0, 10], numberofjobs=1)


@pytest.mark.parametrize("dialect", ["new", "newest"])
@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (WITHOUT_JOBS, "numberofjobs: with 0, a newer board never starts the task; give the number"),
        (WITHOUT_PERIOD, "period: with 0, a newer board never starts the task; for a single job, write"),
    ],
    ids=["numberofjobs", "period"],
)
def test_a_newer_board_refuses_what_never_starts_and_runs_the_other_variants(
    task: Task, reason: str, dialect: str
) -> None:
    with run_boards(2, speed=50, dialect=dialect) as boards, Distributor(boards) as distributor:
        campaign = distributor.start(TaskSet([task]))
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    (failed,) = campaign.failed
    assert failed.variant == 0
    assert failed.reasons[0].startswith(f"task 0: {reason}")


def test_an_older_board_runs_it_until_it_is_stopped() -> None:
    with (
        run_boards(1, speed=50, dialect="old") as boards,
        Distributor(boards, run_timeout_s=0.5) as distributor,
    ):
        campaign = distributor.start(TaskSet([Task(pkg="hey", period=10, numberofjobs=0)]))
    assert campaign.outcomes == {Outcome.TIMED_OUT: 1}


def test_an_older_board_runs_a_task_without_a_period_once() -> None:
    log = RecordingHandler()
    with (
        run_boards(1, speed=50, dialect="old") as boards,
        Distributor(boards, event_handler=log) as distributor,
    ):
        campaign = distributor.start(TaskSet([Task(pkg="hey", numberofjobs=3)]))
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    assert log.types == ["START", "EXIT"]


@pytest.mark.parametrize(("dialect", "is_refused"), [("old", False), ("new", True)])
def test_a_rebuilt_binary_that_a_board_would_not_replace_is_noticed(
    dialect: str, is_refused: bool, tmp_path: Path
) -> None:
    program = tmp_path / "hey"
    program.write_bytes(b"first")
    with (
        run_boards(1, speed=50, dialect=dialect) as boards,
        Distributor(boards, binaries=tmp_path) as distributor,
    ):
        assert not distributor.start(TaskSet([Task(pkg="hey", period=100)])).failed
        program.write_bytes(b"rebuilt")
        failed = distributor.start(TaskSet([Task(pkg="hey", period=100)])).failed
    assert bool(failed) is is_refused
    if is_refused:
        assert "the binary 'hey' was rebuilt after it was sent" in failed[0].reasons[0]


@pytest.mark.servers
def test_the_services_report_a_refusal(amqp_vhost_url: str, tmp_path: Path) -> None:
    with (
        run_boards(1, speed=50) as boards,
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        services.controller()
        services.distributor()
        ear.submit(TaskSet([Task(pkg="hey", period=10, numberofjobs=0)]))
        ear.submit(TaskSet([Task(pkg="hey")]))
        refused = ear.wait_for(RefusedMessage, 2)
    assert sorted(one.reason[:20] for one in refused) == ["task 0: numberofjobs", "task 0: period: with"]
