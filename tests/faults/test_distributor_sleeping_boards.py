"""Boards that sleep through their tasks' offsets inside START: silent for a good reason, and not lost."""

from __future__ import annotations

import time

from taskgen.boards.taskloader_protocol import Command
from taskgen.distributor import Distributor
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import profile_document
from tests.support.recording_handler import RecordingHandler
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.tasksets import one_task

_SHORT_S = 1.2
"""Longer than a CLEAR takes, shorter than the offsets below add up to."""


def two_offsets() -> TaskSet:
    asleep = Task(pkg="hey", period=100, offset=800)
    return TaskSet([Task(asleep, priority=[1, 2]), asleep])


def test_a_run_that_times_out_while_its_board_sleeps_is_timed_out_and_the_board_of_use() -> None:
    log = RecordingHandler()
    with (
        run_boards(dialect="newest") as (address,),
        Distributor(
            address, event_handler=log, run_timeout_s=0.1, answer_timeout_s=_SHORT_S, max_attempts=1
        ) as distributor,
    ):
        campaign = distributor.start(two_offsets())
    assert campaign.outcomes == {Outcome.TIMED_OUT: 2}
    assert [run.reason for run in log.ended] == ["did not end within 0.1 s"] * 2


def test_a_board_that_sleeps_for_longer_than_boards_may_be_silent_finishes_its_run() -> None:
    log = RecordingHandler()
    with (
        run_boards(dialect="newest") as (address,),
        Distributor(address, event_handler=log, silence_timeout_s=_SHORT_S, max_attempts=1) as distributor,
    ):
        campaign = distributor.start(two_offsets())
    assert campaign.outcomes == {Outcome.FINISHED: 2}


def test_a_board_that_is_still_silent_after_its_offsets_is_lost() -> None:
    def freezes(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.wait_for_end()

    log = RecordingHandler()
    with (
        scripted_board(freezes) as address,
        Distributor(address, event_handler=log, silence_timeout_s=_SHORT_S, max_attempts=1) as distributor,
    ):
        campaign = distributor.start(one_task(offset=300))
    assert campaign.outcomes == {Outcome.BOARD_LOST: 1}
    assert log.ended[0].reason == "the board was silent for 1.2 s"


def test_invalid_data_from_a_sleeping_board_does_not_shorten_its_sleep() -> None:
    def talks_in_its_sleep(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        for _ in range(10):
            line.send_frame(b"zzz")
            time.sleep(0.2)
        line.send_frame(profile_document(("START", 0, 1), ("EXIT", 0, 2)))
        line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    log = RecordingHandler()
    with (
        scripted_board(talks_in_its_sleep) as address,
        Distributor(address, event_handler=log, silence_timeout_s=_SHORT_S, max_attempts=1) as distributor,
    ):
        campaign = distributor.start(one_task(offset=1900))
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    assert len(log.quarantined) == 10
