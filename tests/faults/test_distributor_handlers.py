"""Handlers that fail, decide by themselves or are slow: runs and other handlers do not suffer."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from taskgen.boards.taskloader_protocol import Command
from taskgen.distributor import Distributor
from taskgen.event import AbstractEventHandler, Profile, Stop
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.taskset import TaskSet
from tests.support.profiles import profile_document
from tests.support.recording_handler import RecordingHandler
from tests.support.scripted_board import BoardConnection, finish_run, scripted_board
from tests.support.tasksets import endless_and_short_task, one_task
from tests.support.waiting import wait_until


@pytest.fixture
def board() -> Iterator[str]:
    with run_boards(speed=200) as (address,):
        yield address


class Deciding(AbstractEventHandler):
    """Decides by itself: after so many profiles it has enough."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        answer: bool = self._answers() if callable(self._answers) else self._answers
        return answer


def test_the_first_handler_decides_and_the_second_only_observes(board: str) -> None:
    log = RecordingHandler()
    with Distributor(board, event_handler=[log, Deciding(False)]) as distributor:
        assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
        distributor.event_handler = [Deciding(False), log]
        assert distributor.start(endless_and_short_task()).outcomes == {Outcome.STOPPED_BY_RULE: 1}


def test_a_handler_that_raises_or_returns_no_decision_harms_neither_the_run_nor_others(
    board: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> bool:
        raise ZeroDivisionError("the user's own")

    def cancel() -> bool:
        raise asyncio.CancelledError

    log = RecordingHandler()
    with Distributor(board) as distributor:
        for bad in (Deciding(fail), Deciding(None), Deciding(sys.exit), Deciding(cancel)):
            for handlers in ([bad, log], [log, bad]):
                log.types.clear()
                distributor.event_handler = handlers
                campaign = distributor.start(one_task(priority=[1, 2, 3]))
                assert campaign.outcomes == {Outcome.FINISHED: 3}
                assert log.types == ["START", "EXIT", "JOBS_DONE"] * 3
    tracebacks = [record.getMessage() for record in caplog.records if record.exc_info]
    assert len([text for text in tracebacks if "ZeroDivisionError" in text]) == 2  # once in each start
    assert len([text for text in tracebacks if "SystemExit" in text]) == 2


def test_failures_of_handlers_are_counted_by_kind(board: str) -> None:
    def fail() -> bool:
        raise ZeroDivisionError

    with Distributor(board, event_handler=[RecordingHandler(), Deciding(fail)]) as distributor:
        distributor.start(one_task(priority=[1, 2, 3]))
        ((kind, count),) = distributor.handler_failures.items()
    assert "Deciding raised ZeroDivisionError at " in kind
    assert count >= 3


def test_a_slow_handler_holds_a_fast_board_back_and_nothing_is_dropped() -> None:
    """The board cannot write on when the socket is full: the distributor is not reading it."""
    frames, events_per_frame = 4000, 100  # more than the kernel's buffers of both ends take
    frame = profile_document(*[("START", 0, n) for n in range(events_per_frame)])
    sent: list[int] = []

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        for number in range(frames):
            line.send_frame(frame)
            sent.append(number)
        line.send_events(("EXIT", 0, 1), ("JOBS_DONE", 0, 2))
        line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    go_on = threading.Event()

    class Slow(RecordingHandler):
        def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
            go_on.wait(30)
            return super().__taskset_event__(taskset, event)

    log = Slow()
    with scripted_board(script) as address, Distributor(address, event_handler=log) as distributor:
        campaign = distributor.start(one_task(), wait=False)
        stands_at = [-1]

        def stands() -> bool:
            before, stands_at[0] = stands_at[0], len(sent)
            time.sleep(0.3)
            return 0 < before == len(sent)

        wait_until(stands, 30, "the board is held back")
        assert len(sent) < frames
        assert distributor.counters.frames <= 1
        go_on.set()
        assert distributor.wait_finished(60)
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    assert len(log.types) == frames * events_per_frame + 2


def test_a_board_does_not_count_as_silent_while_handlers_are_behind() -> None:
    frame = profile_document(*[("START", 0, n) for n in range(200)])

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        for _ in range(60):
            line.send_frame(frame)
        finish_run(line)
        line.wait_for_end()

    class Slow(RecordingHandler):
        def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
            time.sleep(0.02)
            return super().__taskset_event__(taskset, event)

    log = Slow()
    with (
        scripted_board(script) as address,
        Distributor(address, event_handler=log, silence_timeout_s=0.3) as distributor,
    ):
        assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
    assert len(log.types) == 60 * 200 + 3
