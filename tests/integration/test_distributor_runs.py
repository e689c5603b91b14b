"""The distributor with a simulated board: how a campaign and each of its runs go to their ends."""

import threading

from taskgen.distributor import Distributor
from taskgen.run import Outcome
from taskgen.taskset import Profile, TaskSet
from tests.support.recording_handler import RecordingHandler
from tests.support.tasksets import endless_and_short_task, endless_task, two_tasks


def test_start_returns_when_every_variant_has_a_result(board: str) -> None:
    log = RecordingHandler()
    with Distributor(board, event_handler=log) as distributor:
        campaign = distributor.start(two_tasks(priority=[1, 2, 3]))
        assert campaign.is_done
    assert campaign.outcomes == {Outcome.FINISHED: 3}
    assert [run.variant for run in log.ended] == [0, 1, 2]
    assert {run.board for run in log.ended} == {board}


def test_each_run_is_started_fed_and_finished_in_one_thread(board: str) -> None:
    log = RecordingHandler()
    with Distributor(board, event_handler=log) as distributor:
        distributor.start(two_tasks(priority=[1, 2]))
    for run in log.ended:
        calls = [what for what, run_id in log.calls if run_id == run.run_id]
        assert calls[0] == "start"
        assert set(calls[1:-1]) == {"event"}
        assert calls[-1] == "finish"
    assert len(log.threads) == 1
    assert log.threads != {threading.current_thread().name}
    assert log.types.count("JOBS_DONE") == 4


def test_a_handler_that_is_falsy_because_it_is_empty_is_called_nevertheless(board: str) -> None:
    class Collection(RecordingHandler):
        def __len__(self) -> int:
            return len(self.ended)

    log = Collection()
    with Distributor(board, event_handler=log) as distributor:
        distributor.start(two_tasks())
    assert len(log) == 1


def test_handlers_of_a_generator_are_all_called(board: str) -> None:
    logs = [RecordingHandler(), RecordingHandler()]
    with Distributor(board, event_handler=(log for log in logs)) as distributor:  # type: ignore[arg-type]
        distributor.start(two_tasks())
    assert [len(log.ended) for log in logs] == [1, 1]


def test_several_task_sets_are_one_campaign(board: str) -> None:
    with Distributor(board) as distributor:
        campaign = distributor.start([two_tasks(), two_tasks(priority=[1, 2])])
    assert campaign.outcomes == {Outcome.FINISHED: 3}


def test_the_same_task_set_can_be_started_again(board: str) -> None:
    taskset = two_tasks()
    with Distributor(board) as distributor:
        for _ in range(2):
            assert distributor.start(taskset).outcomes == {Outcome.FINISHED: 1}
    assert all(task.jobs == [] for task in taskset)


def test_a_run_that_takes_too_long_times_out_and_is_not_retried(board: str) -> None:
    log = RecordingHandler()
    with Distributor(board, event_handler=log, run_timeout_s=0.5) as distributor:
        campaign = distributor.start([endless_task(), two_tasks()])
    assert campaign.outcomes == {Outcome.TIMED_OUT: 1, Outcome.FINISHED: 1}
    assert log.ended[0].reason == "did not end within 0.5 s"
    assert log.types[:2] == ["START", "EXIT_EXTERNAL"]


def test_a_handler_can_stop_its_run_by_rule(board: str) -> None:
    class Enough(RecordingHandler):
        def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
            super().__taskset_event__(taskset, event)
            return False

    log = Enough()
    with Distributor(board, event_handler=log) as distributor:
        campaign = distributor.start(endless_and_short_task())
    assert campaign.outcomes == {Outcome.STOPPED_BY_RULE: 1}
    assert "EXIT_EXTERNAL" in log.types
