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

NEVER_STARTS = TaskSet([Task(pkg="hey", period=10, numberofjobs=[0, 2])])


@pytest.mark.parametrize("dialect", ["new", "newest"])
def test_a_newer_board_refuses_a_task_without_jobs_and_runs_the_other_variants(dialect: str) -> None:
    with run_boards(2, speed=50, dialect=dialect) as boards, Distributor(boards) as distributor:
        campaign = distributor.start(NEVER_STARTS)
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    (failed,) = campaign.failed
    assert failed.variant == 0
    assert failed.reasons[0].startswith(
        "task 0: numberofjobs: with 0, a newer board never starts the task; write"
    )


def test_an_older_board_runs_it_until_it_is_stopped() -> None:
    with (
        run_boards(1, speed=50, dialect="old") as boards,
        Distributor(boards, run_timeout_s=0.5) as distributor,
    ):
        campaign = distributor.start(TaskSet([Task(pkg="hey", period=10, numberofjobs=0)]))
    assert campaign.outcomes == {Outcome.TIMED_OUT: 1}


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
        assert not distributor.start(TaskSet([Task(pkg="hey")])).failed
        program.write_bytes(b"rebuilt")
        failed = distributor.start(TaskSet([Task(pkg="hey")])).failed
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
        (refused,) = ear.wait_for(RefusedMessage)
    assert "numberofjobs" in refused.reason
