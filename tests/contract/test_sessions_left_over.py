"""Boards run a task-set on when its connection breaks; what is left of it does not get into the next run."""

from __future__ import annotations

import pytest

from taskgen.boards.taskloader import TaskloaderSession
from taskgen.distributor import Distributor
from taskgen.errors import BoardSilentError
from taskgen.run import Outcome
from taskgen.simulation import Dialect, run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.board_sessions import read_events, receive_rest, receive_until, talk
from tests.support.recording_handler import RecordingHandler

LONG = TaskSet([Task(pkg="hey", period=10, numberofjobs=10**6), Task(pkg="idle", period=10**6, coreoffset=1)])
"""On a board of ten times the speed: a frame every millisecond, and a job that only a CLEAR ends."""
NEXT = TaskSet([Task(pkg="pi", period=10, numberofjobs=2), Task(pkg="hey", period=30, coreoffset=1)])
WHOLE = [("EXIT", 0)] * 2 + [("EXIT", 1)] + [("START", 0)] * 2 + [("START", 1)]


async def break_off(session: TaskloaderSession) -> None:
    """Start a long run, and let the connection break as soon as the board has reported a job."""
    await session.start(LONG.checked())
    await receive_until(session, lambda taskset: next(iter(taskset)).jobs != [], LONG.checked())
    assert session._connection is not None
    session._connection._writer.transport.abort()


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("faults", [(), ("split-writes",), ("merge-frames",), ("late-exit-external",)])
def test_the_next_session_has_the_events_of_its_own_runs_alone(dialect: str, faults: tuple[str, ...]) -> None:
    async def follow(session: TaskloaderSession) -> None:
        for _ in range(2):
            taskset = NEXT.checked()
            await session.start(taskset)
            events = await receive_until(session, lambda t: t.is_terminated, taskset)
            assert sorted(events) == WHOLE
            await session.stop(is_finished=True)
            assert await receive_rest(session, taskset) == []
        left = read_events(session.unsolicited, LONG.checked(), session)
        assert ("EXIT_EXTERNAL", 1) in left or "late-exit-external" in faults

    with run_boards(speed=10, dialect=dialect, faults=faults) as (address,):
        talk(address, break_off)
        talk(address, follow)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_session_without_a_run_ends_it_once_the_board_reports_it(dialect: str) -> None:
    async def listen(session: TaskloaderSession) -> None:
        taskset, events = LONG.checked(), list[tuple[str, int]]()
        while ("EXIT_EXTERNAL", 1) not in events:
            events += read_events(session.unsolicited or await session.receive(10), taskset, session)
            session.unsolicited = []
        with pytest.raises(BoardSilentError):
            await receive_rest(session, taskset, 0.3)

    with run_boards(speed=10, dialect=dialect) as (address,):
        talk(address, break_off)
        talk(address, listen)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_distributor_that_takes_the_board_over_stores_correct_results(dialect: str) -> None:
    log = RecordingHandler()
    with run_boards(speed=10, dialect=dialect) as (address,):
        talk(address, break_off)
        with Distributor(address, event_handler=log, probe_timeout_s=0.3) as distributor:
            campaign = distributor.start([NEXT, NEXT])
    assert campaign.outcomes == {Outcome.FINISHED: 2}
    assert sorted(kind for kind in log.types if kind != "JOBS_DONE") == sorted(kind for kind, _ in WHOLE * 2)
    assert log.quarantined
    assert {one.run_id for one in log.quarantined} == {None}
