"""Several handlers are called so that none can hurt the others, the run, or what was received."""

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from taskgen.backoff import Backoff
from taskgen.deadline import Deadline
from taskgen.errors import StoreError, StoreUnavailableError
from taskgen.event import AbstractEventHandler, Profile, Quarantined
from taskgen.events.base import Batch, StoringHandler
from taskgen.execution.handler_chain import HandlerChain
from taskgen.run import Outcome, Run
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import parsed_profile
from tests.support.waiting import wait_until


class Says(AbstractEventHandler):
    """Gives a fixed answer, or raises it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.called: list[str] = []

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        self.called.append("event")
        if isinstance(self._answer, BaseException):
            raise type(self._answer)(*self._answer.args)
        answer: bool = self._answer
        return answer

    def __taskset_start__(self, taskset: TaskSet) -> None:
        self._say("start")

    def __taskset_finish__(self, taskset: TaskSet) -> None:
        self._say("finish")

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        self._say("stop")

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        self._say("quarantine")

    def _say(self, what: str) -> None:
        self.called.append(what)
        if isinstance(self._answer, BaseException):
            raise type(self._answer)(*self._answer.args)


def taskset() -> TaskSet:
    tasks = TaskSet([Task(pkg="hey")])
    tasks.run = Run("board:1")
    return tasks


@pytest.mark.parametrize("first", [True, False])
def test_the_first_handler_decides_and_the_others_observe(first: bool) -> None:
    others = [Says(True), Says(False), Says(None)]
    calls = HandlerChain([Says(first), *others])
    assert calls.event(taskset(), parsed_profile()) is first
    assert [other.called for other in others] == [["event"]] * 3
    assert calls.failures == {}


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), asyncio.CancelledError("no"), KeyboardInterrupt("no")]
)
def test_a_handler_that_raises_harms_no_other_and_is_reported_once_per_kind(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Says(error), Says(True)
    calls = HandlerChain([good, bad, Says(True)])
    tasks = taskset()
    calls.start(tasks)
    for _ in range(5):
        assert calls.event(tasks, parsed_profile())
    calls.quarantine(tasks, Quarantined("why", b"", "board:1", ""))
    assert tasks.run is not None
    tasks.run.outcome = Outcome.FINISHED
    calls.end(tasks)
    assert bad.called == good.called == ["start", *["event"] * 5, "quarantine", "finish"]
    assert sorted(calls.failures.values()) == [3, 5]
    with_traceback = [record for record in caplog.records if record.exc_info]
    assert len(with_traceback) == 2
    assert all("Says raised" in record.getMessage() for record in with_traceback)


@pytest.mark.parametrize("answer", [None, RuntimeError("no decision")])
def test_the_default_decides_where_the_deciding_handler_does_not(answer: Any) -> None:
    calls = HandlerChain([Says(answer)])
    tasks = taskset()
    assert tasks.run is not None
    assert calls.event(tasks, parsed_profile(("START", 0, 1)))
    tasks.run.first_seq = 1
    assert not calls.event(tasks, parsed_profile(("EXIT", 0, 1), ("JOBS_DONE", 0, 1)))
    assert tasks.is_terminated
    (failures,) = calls.failures.values()
    assert failures == 2


class Several:
    """Cannot be taken for True or False, as an array of several elements cannot."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


def test_an_answer_that_is_neither_true_nor_false_is_a_failure_and_the_default_decides(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = HandlerChain([Says(Several()), Says(Several())])
    assert calls.event(taskset(), parsed_profile(("START", 0, 1)))
    assert list(calls.failures.values()) == [1]
    assert "Says raised ValueError" in caplog.text


def test_a_handler_that_forgets_to_decide_gets_a_hint_and_one_that_raises_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    HandlerChain([Says(ValueError())]).event(taskset(), parsed_profile())
    assert "has to return True or False" not in caplog.text
    HandlerChain([Says(None)]).event(taskset(), parsed_profile())
    assert "has to return True or False" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "last"),
    [(outcome, "finish" if outcome is Outcome.FINISHED else "stop") for outcome in Outcome],
)
def test_the_outcome_says_which_callback_is_the_last(outcome: Outcome, last: str) -> None:
    handler = Says(True)
    tasks = taskset()
    assert tasks.run is not None
    tasks.run.outcome = outcome
    HandlerChain([handler]).end(tasks)
    assert handler.called == [last]


class Store(StoringHandler):
    """Writes batches to a list, after so many refusals."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors: list[Exception] = list(errors)
        self.written: list[Batch] = []

    def _write(self, batch: Batch) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.written.append(batch)

    def _release(self) -> None:
        pass


def test_an_unavailable_store_is_retried_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    store = Store(StoreUnavailableError("disk full"), StoreUnavailableError("disk full"))
    calls = HandlerChain([store])
    calls.begin()
    calls.start(taskset())
    calls.event(taskset(), parsed_profile(("START", 0, 1)))
    calls.commit()
    (batch,) = store.written
    assert len(batch.events) == 1
    assert caplog.text.count("disk full; retrying") == 2
    assert calls.failures == {}


def test_a_broken_store_logs_its_lost_batch_and_the_others_keep_theirs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    broken, whole = Store(StoreError("not a database")), Store()
    calls = HandlerChain([broken, whole])
    calls.begin()
    calls.event(taskset(), parsed_profile(("START", 0, 1)))
    calls.commit()
    assert len(whole.written) == 1
    assert "lost in this store: not a database" in caplog.text
    calls.begin()
    calls.event(taskset(), parsed_profile(("EXIT", 0, 1)))
    calls.commit()
    (batch,) = broken.written
    assert [events.types for _, events in batch.events] == [["EXIT"]]  # not what was lost, once more


def test_a_store_its_user_has_closed_lost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    calls = HandlerChain([store])
    calls.begin()
    calls.commit()
    calls.begin()
    store.close()
    calls.commit()
    assert caplog.text == ""


def test_whoever_gives_up_is_not_kept_waiting_by_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    store = Store(*[StoreUnavailableError("disk full")] * 1000)
    calls = HandlerChain([store])
    calls.patience.end_by(Deadline(0))
    calls.begin()
    calls.event(taskset(), parsed_profile(("START", 0, 1)))
    calls.commit()
    assert "lost in this store: disk full" in caplog.text


def test_a_pause_ends_when_the_process_is_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("taskgen.execution.handler_chain.Backoff", lambda: Backoff(7200, first_s=3600))
    store = Store(StoreUnavailableError("disk full"))
    calls = HandlerChain([store])
    calls.begin()
    calls.event(taskset(), parsed_profile(("START", 0, 1)))
    committing = threading.Thread(target=calls.commit, daemon=True)
    committing.start()
    wait_until(lambda: "retrying in " in caplog.text, 20, "the first refusal")
    time.sleep(0.2)  # so that it pauses
    calls.patience.end_by(Deadline(3600))
    committing.join(20)
    assert not committing.is_alive()
    assert len(store.written) == 1, "it is asked once more, and has room now"


def test_a_store_is_retried_until_the_deadline_and_then_given_up() -> None:
    store = Store(*[StoreUnavailableError("disk full")] * 1000)
    calls = HandlerChain([store])
    calls.patience.end_by(Deadline(1))
    calls.begin()
    calls.event(taskset(), parsed_profile(("START", 0, 1)))
    calls.commit()
    assert 2 <= 1000 - len(store.errors) < 100, "again and again, but not without a pause"
    assert store.written == []


def test_a_store_that_lost_a_batch_of_a_run_keeps_the_start_and_says_so() -> None:
    broken, whole = Store(), Store()
    calls = HandlerChain([broken, whole])
    tasks, other = taskset(), taskset()
    run = tasks.run
    assert run is not None
    for number, kind in enumerate(("START", "EXIT", "START", "EXIT")):
        broken.errors = [StoreError("damaged")] if number == 2 else []
        calls.begin()
        run.first_seq = number
        calls.event(tasks, parsed_profile((kind, 0, 1)))
        calls.commit()
    calls.begin()
    run.outcome, run.events = Outcome.FINISHED, 4
    calls.end(tasks)
    calls.event(other, parsed_profile(("START", 0, 1)))
    calls.commit()
    assert [events.first_seq for batch in whole.written for _, events in batch.events] == [0, 1, 2, 3, 0]
    kept = [one for batch in broken.written for one in batch.events]
    assert [events.first_seq for of, events in kept if of.run_id == run.run_id] == [0, 1]
    assert [events.first_seq for of, events in kept if of.run_id != run.run_id] == [0]
    (end,) = broken.written[-1].ended
    assert (end.outcome, end.events) == (Outcome.FINISHED, 2)
    assert "the last 2 of its 4 events could not be stored: damaged" in end.reason
    assert [one.events for one in whole.written[-1].ended] == [4]
