"""The distributor with several boards: which are used, found and waited for."""

import threading

import port_for

from taskgen.distributor import Distributor
from taskgen.execution.board import BoardState
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.taskset import TaskSet
from tests.support.recording_handler import RecordingHandler
from tests.support.tasksets import two_tasks
from tests.support.waiting import wait_until


def test_several_boards_share_the_variants_and_no_call_overlaps_another() -> None:
    overlaps: list[str] = []
    busy = threading.Lock()

    class Slow(RecordingHandler):
        def _note(self, what: str, taskset: TaskSet) -> None:
            if not busy.acquire(blocking=False):
                overlaps.append(what)
                return
            try:
                super()._note(what, taskset)
            finally:
                busy.release()

    log = Slow()
    with (
        run_boards(4, speed=200) as boards,
        Distributor(boards, event_handler=log) as distributor,
    ):
        campaign = distributor.start(two_tasks(priority=range(12)))
        assert {status.state for status in distributor.boards} <= {BoardState.IDLE, BoardState.RUNNING}
    assert campaign.outcomes == {Outcome.FINISHED: 12}
    assert len({run.board for run in log.ended}) > 1
    assert sorted(run.variant for run in log.ended) == list(range(12))
    assert overlaps == []


def test_a_range_of_addresses_is_a_pool_of_boards() -> None:
    port = port_for.select_random()
    with (
        run_boards(6, listen=f"127.0.10.0/28:{port}", speed=200),
        Distributor(f"127.0.10.0/28:{port}") as distributor,
    ):
        campaign = distributor.start(two_tasks(priority=range(12)))
        states = [status.state for status in distributor.boards]
    assert campaign.outcomes == {Outcome.FINISHED: 12}
    assert len(states) == 14
    assert states.count(BoardState.LOST) == 8


def test_unreachable_boards_keep_nobody_waiting(board: str) -> None:
    with Distributor(
        ["127.0.10.14:1", board, "no-such-board.invalid"], event_handler=RecordingHandler()
    ) as distributor:
        campaign = distributor.start(two_tasks(priority=range(4)))
        lost = [status for status in distributor.boards if status.state is BoardState.LOST]
    assert campaign.outcomes == {Outcome.FINISHED: 4}
    assert [status.name for status in lost] == ["127.0.10.14:1", "no-such-board.invalid:3001"]
    assert all(status.reason.startswith("no connection") for status in lost)


def test_a_board_that_comes_later_is_found() -> None:
    port = port_for.select_random()
    with Distributor(f"127.0.0.1:{port}", longest_pause_s=0.5) as distributor:
        campaign = distributor.start(two_tasks(), wait=False)
        wait_until(lambda: "no connection" in distributor.boards[0].reason, 20, "a first try in vain")
        assert not distributor.wait_finished(0.01)
        with run_boards(listen=f"127.0.0.1:{port}", speed=200):
            assert distributor.wait_finished(20)
    assert campaign.outcomes == {Outcome.FINISHED: 1}
