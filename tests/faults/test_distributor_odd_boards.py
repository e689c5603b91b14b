"""Boards that say odd things, break off or say nothing: at the end of a run, and while idle."""

import threading
from contextlib import suppress

import pytest

from taskgen.boards.taskloader_protocol import WORD, Command
from taskgen.distributor import Distributor
from taskgen.run import Outcome
from tests.support.profiles import profile_document
from tests.support.recording_handler import RecordingHandler
from tests.support.scripted_board import BoardConnection, finish_run, scripted_board
from tests.support.tasksets import one_task
from tests.support.waiting import wait_until


def good_board(line: BoardConnection) -> None:
    while True:
        line.obey_until(Command.START)
        finish_run(line)


def test_a_board_that_closes_right_after_the_last_event_has_finished_its_run() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1), ("EXIT", 0, 2))

    log = RecordingHandler()
    with scripted_board(script) as address, Distributor(address, event_handler=log) as distributor:
        campaign = distributor.start(one_task(priority=range(5)))
    assert campaign.outcomes == {Outcome.FINISHED: 5}
    assert log.types == ["START", "EXIT"] * 5


def test_jobs_done_in_a_frame_of_its_own_after_the_last_exit_belongs_to_its_run() -> None:
    def script(line: BoardConnection) -> None:
        while True:
            line.obey_until(Command.START)
            line.send_events(("START", 0, 1), ("EXIT", 0, 2))
            assert line.word() == Command.STOP  # the run is over for the handler
            line.send_events(("JOBS_DONE", 0, 2))
            line.obey_until(Command.AVAILABLE)

    log = RecordingHandler()
    with scripted_board(script) as address, Distributor(address, event_handler=log) as distributor:
        campaign = distributor.start(one_task(priority=range(5)))
    assert campaign.outcomes == {Outcome.FINISHED: 5}
    assert log.types == ["START", "EXIT", "JOBS_DONE"] * 5
    assert [run.events for run in log.ended] == [3] * 5
    assert log.quarantined == []


@pytest.mark.parametrize("digits", ["&#178;", "&#1633;"])
def test_numbers_in_other_scripts_end_neither_run_nor_lab(digits: str) -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_frame(
            profile_document(("START", 0, 1)).replace(b'time-stamp="1"', f'time-stamp="{digits}"'.encode())
        )
        finish_run(line)
        good_board(line)

    log = RecordingHandler()
    with scripted_board(script) as address, Distributor(address, event_handler=log) as distributor:
        campaign = distributor.start(one_task(priority=[1, 2]))
    assert campaign.outcomes == {Outcome.FINISHED: 2}
    assert len(log.quarantined) == 1


def test_data_from_an_idle_board_is_quarantined_without_a_run() -> None:
    late = profile_document(("EXIT_EXTERNAL", 0, 9))
    is_idle = threading.Event()

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        finish_run(line)
        is_idle.wait(20)
        line.send_frame(late)
        line.wait_for_end()

    log = RecordingHandler()
    with scripted_board(script) as address, Distributor(address, event_handler=log) as distributor:
        distributor.start(one_task())
        is_idle.set()
        wait_until(lambda: bool(log.quarantined), 20, "the stray frame")
    (stray,) = log.quarantined
    assert (stray.data, stray.board, stray.run_id) == (late, address, None)
    assert stray.reason == "received while no run was in progress"


def test_an_idle_board_is_kept_however_long_it_is_silent() -> None:
    connections: list[BoardConnection] = []

    def script(line: BoardConnection) -> None:
        connections.append(line)
        good_board(line)

    with (
        scripted_board(script) as address,
        Distributor(address, frame_timeout_s=0.1, silence_timeout_s=0.1, answer_timeout_s=5) as distributor,
    ):
        distributor.start(one_task())
        with suppress(TimeoutError):
            wait_until(lambda: len(connections) > 1, 0.5, "a connection that must not come")
        assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
    assert len(connections) == 1


def test_a_board_that_disconnects_while_idle_is_reconnected() -> None:
    def once(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        finish_run(line)

    with scripted_board(once) as address, Distributor(address) as distributor:
        for _ in range(3):
            assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}


def test_a_frame_over_the_limit_from_an_idle_board_is_kept_and_the_session_ended() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        finish_run(line)
        line.send(WORD.pack(2**31) + b"rubbish")
        line.wait_for_end()

    log = RecordingHandler()
    with (
        scripted_board(script, good_board) as address,
        Distributor(address, event_handler=log) as distributor,
    ):
        distributor.start(one_task())
        wait_until(lambda: bool(log.quarantined), 20, "the oversized frame")
        assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
    (stray,) = log.quarantined
    assert stray.data.startswith(WORD.pack(2**31))
    assert stray.run_id is None
