"""The distributor stopped, closed and started again: what ends, and what may follow."""

import threading

import pytest

from taskgen.distributor import Distributor
from taskgen.errors import DistributorError
from taskgen.run import Outcome
from taskgen.taskset import TaskSet
from tests.support.recording_handler import RecordingHandler
from tests.support.tasksets import endless_and_short_task, endless_task, two_tasks
from tests.support.waiting import wait_until


def test_stop_ends_the_runs_and_cancels_the_rest(board: str) -> None:
    log = RecordingHandler()
    with Distributor(board, event_handler=log) as distributor:
        campaign = distributor.start(endless_and_short_task(priority=range(5)), wait=False)
        log.wait_for_run()
        distributor.stop()
        assert campaign.is_done
        assert campaign.outcomes == {Outcome.STOPPED_BY_USER: 1}
    assert log.types == ["START", "START", "EXIT", "JOBS_DONE", "EXIT_EXTERNAL"]
    assert log.calls[-1][0] == "stop"


def test_starting_again_after_a_stop_works_with_another_handler_on_the_same_connection(board: str) -> None:
    first, second = RecordingHandler(), RecordingHandler()
    with Distributor(board, event_handler=first) as distributor:
        distributor.start(endless_and_short_task(), wait=False)
        first.wait_for_run()
        distributor.stop()
        calls = len(first.calls)
        distributor.event_handler = second
        for _ in range(2):
            assert distributor.start(two_tasks()).outcomes == {Outcome.FINISHED: 1}
    assert len(first.calls) == calls
    assert [what for what, _ in second.calls].count("start") == 2
    assert [what for what, _ in second.calls].count("finish") == 2


def test_a_stop_at_once_after_a_start_leaves_nothing_running(board: str) -> None:
    with Distributor(board) as distributor:
        distributor.start(two_tasks())  # the board is connected and idle from now on
        for _ in range(20):
            campaign = distributor.start(endless_task(priority=[1, 2]), wait=False)
            distributor.stop(wait=False)
            assert distributor.wait_stopped(20)
            assert campaign.is_done
            assert campaign.results <= 1


def test_a_second_start_during_a_campaign_is_refused(board: str) -> None:
    with Distributor(board) as distributor:
        distributor.start(endless_task(), wait=False)
        with pytest.raises(DistributorError, match="still in progress"):
            distributor.start(two_tasks())


def test_closing_stops_and_nothing_may_follow(board: str) -> None:
    log = RecordingHandler()
    distributor = Distributor(board, event_handler=log)
    campaign = distributor.start(endless_and_short_task(), wait=False)
    log.wait_for_run()
    distributor.close()
    assert campaign.outcomes == {Outcome.STOPPED_BY_USER: 1}
    distributor.close()
    distributor.stop()
    assert distributor.wait_finished(1)
    assert distributor.wait_closed(1)
    with pytest.raises(DistributorError, match="closed"):
        distributor.start(two_tasks())


def test_close_without_waiting_can_be_waited_for(board: str) -> None:
    distributor = Distributor(board)
    distributor.start(endless_task(), wait=False)
    distributor.close(wait=False)
    assert distributor.wait_closed(20)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("taskgen")]


def test_a_distributor_that_never_started_waits_for_nothing() -> None:
    with Distributor("127.0.10.1") as distributor:
        distributor.stop()
        assert distributor.wait_finished()
        assert distributor.boards == []
        assert distributor.handler_failures == {}


def test_an_exception_in_the_with_block_stops_the_boards(board: str) -> None:
    log = RecordingHandler()

    def work() -> None:
        with Distributor(board, event_handler=log) as distributor:
            distributor.start(endless_and_short_task(), wait=False)
            log.wait_for_run()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert [run.outcome for run in log.ended] == [Outcome.STOPPED_BY_USER]


def test_a_handler_may_stop_the_campaign_but_not_wait_for_it(board: str) -> None:
    class Enough(RecordingHandler):
        def __taskset_start__(self, taskset: TaskSet) -> None:
            with pytest.raises(DistributorError, match="wait=False"):
                distributor.stop()
            distributor.stop(wait=False)
            super().__taskset_start__(taskset)

    log = Enough()
    with Distributor(board, event_handler=log) as distributor:
        campaign = distributor.start(endless_task(priority=range(3)))
        assert distributor.handler_failures == {}
    assert campaign.outcomes == {Outcome.STOPPED_BY_USER: 1}


def test_a_billion_variants_start_at_once_and_can_be_stopped(board: str) -> None:
    log = RecordingHandler()
    taskset = two_tasks(priority=range(100), executiontime=range(10**7))
    with Distributor(board, event_handler=log) as distributor:
        campaign = distributor.start(taskset, wait=False)
        wait_until(lambda: campaign.results >= 3, 20, "the first results")
        distributor.stop()
    assert campaign.is_done
    assert [run.variant for run in log.ended] == list(range(len(log.ended)))
