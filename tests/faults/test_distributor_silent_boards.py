"""Boards that accept and say nothing, or freeze: the lab's fault, whatever time a run may take."""

import socket
from contextlib import suppress

import pytest

from taskgen.boards.taskloader_protocol import Command
from taskgen.distributor import Distributor
from taskgen.event import Profile
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.taskset import TaskSet
from tests.support.recording_handler import RecordingHandler
from tests.support.scripted_board import BoardConnection, finish_run, scripted_board
from tests.support.tasksets import endless_task, one_task
from tests.support.waiting import wait_until


def good_board(line: BoardConnection) -> None:
    while True:
        line.obey_until(Command.START)
        finish_run(line)


def test_a_board_that_freezes_while_it_is_given_a_task_set_is_lost_however_short_runs_may_be() -> None:
    def freezes(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        finish_run(line)
        line.wait_for_end()

    log = RecordingHandler()
    with (
        scripted_board(freezes, good_board) as address,
        Distributor(
            address, event_handler=log, run_timeout_s=0.2, answer_timeout_s=1, longest_pause_s=0.2
        ) as distributor,
    ):
        campaign = distributor.start(one_task(priority=[1, 2]))
    assert campaign.outcomes == {Outcome.FINISHED: 2, Outcome.BOARD_LOST: 1}
    assert "no AVAILABLE" in log.ended[1].reason


def test_a_board_that_freezes_in_a_run_is_lost_when_the_run_times_out_and_cannot_be_stopped() -> None:
    def freezes(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1))
        line.wait_for_end()

    log = RecordingHandler()
    with (
        scripted_board(freezes, good_board) as address,
        Distributor(
            address, event_handler=log, run_timeout_s=0.5, answer_timeout_s=0.5, longest_pause_s=0.2
        ) as distributor,
    ):
        campaign = distributor.start(one_task())
    assert campaign.outcomes == {Outcome.FINISHED: 1, Outcome.BOARD_LOST: 1}
    assert log.ended[0].reason.startswith("did not end within 0.5 s, and could not be stopped: ")


def test_the_run_timeout_begins_with_the_start_command() -> None:
    told_to_start: list[Command] = []

    def slow(line: BoardConnection) -> None:
        line.obey_until(Command.AVAILABLE, is_newer=False)  # lets the probe pass
        told_to_start.extend(line.obey_until(Command.START, is_newer=False)[-1:])
        line.send_events(("START", 0, 1))
        line.wait_for_end()

    log = RecordingHandler()
    with (
        scripted_board(slow) as address,
        Distributor(address, event_handler=log, run_timeout_s=0.2, probe_timeout_s=0.8) as distributor,
    ):
        campaign = distributor.start(endless_task())
    assert campaign.outcomes == {Outcome.TIMED_OUT: 1}
    assert told_to_start == [Command.START]
    assert log.types == ["START"]


@pytest.mark.parametrize("dialect", ["old", "new"])
def test_a_board_that_serves_another_client_gets_no_work_until_it_is_free(dialect: str) -> None:
    log = RecordingHandler()
    with (
        run_boards(speed=100, dialect=dialect) as (address,),
        Distributor(
            address,
            event_handler=log,
            probe_timeout_s=0.2,
            answer_timeout_s=0.5,
            longest_pause_s=0.2,
            max_attempts=1,
        ) as distributor,
    ):
        host, port = address.split(":")
        with socket.create_connection((host, int(port))):
            campaign = distributor.start(one_task(), wait=False)
            wait_until(
                lambda: "serving another client" in distributor.boards[0].reason, 20, "a board that is busy"
            )
            assert log.begun == []
        distributor.wait_finished()
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    assert campaign.failed == []
    assert log.quarantined == []


def test_a_board_may_be_silent_while_the_decision_about_its_ended_tasks_is_late() -> None:
    class Late(RecordingHandler):
        def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
            super().__taskset_event__(taskset, event)
            return True

    log = Late()
    with (
        scripted_board(good_board) as address,
        Distributor(address, event_handler=log, silence_timeout_s=0.2) as distributor,
    ):
        distributor.start(one_task(), wait=False)
        wait_until(lambda: "JOBS_DONE" in log.types, 20, "the tasks' end")
        with suppress(TimeoutError):
            wait_until(lambda: bool(log.ended), 1, "an end that must not come")
        distributor.stop()
    assert [run.outcome for run in log.ended] == [Outcome.STOPPED_BY_USER]
