"""Boards that send what is no event, and no end of it: the run ends, and the stores are not filled."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from taskgen.boards.limits import Limits
from taskgen.boards.taskloader_protocol import WORD, Command
from taskgen.distributor import Distributor
from taskgen.event import Quarantined
from taskgen.run import Outcome
from taskgen.taskset import TaskSet
from tests.support.recording_handler import RecordingHandler
from tests.support.scripted_board import BoardConnection, finish_run, scripted_board
from tests.support.tasksets import endless_task, one_task
from tests.support.waiting import wait_until

FEW = Limits(quarantined_pieces=20)
LITTLE = Limits(quarantined_bytes=2_000)
NO_END = Limits(quarantined_pieces=10**12, quarantined_bytes=10**15)


class Counting(RecordingHandler):
    """Counts what is quarantined and lets go of it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        self.pieces += 1


def flood(line: BoardConnection, document: bytes) -> None:
    """Send frames until the client has gone."""
    frames = (WORD.pack(len(document)) + document) * (1 + 2**16 // (len(document) + 4))
    while True:
        line.send(frames)


def floods_in_its_run(document: bytes) -> Callable[[BoardConnection], None]:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1))
        flood(line, document)

    return script


def good_board(line: BoardConnection) -> None:
    while True:
        line.obey_until(Command.START)
        finish_run(line)


@pytest.mark.parametrize(
    ("limits", "document", "kept"),
    [
        pytest.param(FEW, b"", 20, id="nothing"),
        pytest.param(FEW, b"no profile", 20, id="small"),
        pytest.param(LITTLE, b"no profile".ljust(900), 3, id="large"),
        pytest.param(
            FEW, b"<profile><events>%s</events></profile>" % (b"<event/>" * 7), 20, id="broken events"
        ),
    ],
)
def test_a_board_that_floods_a_run_with_invalid_data_is_an_error_and_the_next_one_continues(
    limits: Limits, document: bytes, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    log = RecordingHandler()
    with (
        scripted_board(floods_in_its_run(document), good_board) as address,
        Distributor(address, event_handler=log, limits=limits, longest_pause_s=0.2) as distributor,
    ):
        campaign = distributor.start(one_task())
        assert distributor.counters.quarantined == kept
    assert campaign.outcomes == {Outcome.BOARD_ERROR: 1, Outcome.FINISHED: 1}
    assert len(log.quarantined) == kept
    bad, good = log.ended
    assert log.types == ["START", "START", "EXIT", "JOBS_DONE"]
    assert bad.reason.startswith("the board sent more than ")
    assert bad.reason.endswith(" bytes were counted but not kept")
    assert bad.reason.partition("; ")[2] in caplog.text
    assert good.reason == ""


def test_a_run_that_a_board_floods_endlessly_times_out() -> None:
    """Where no limit does: neither the frames nor the STOP, which the board never reads, may hold it up."""
    log = Counting()
    with (
        scripted_board(floods_in_its_run(b"no profile".ljust(4096)), good_board) as address,
        Distributor(
            address, event_handler=log, limits=NO_END, run_timeout_s=0.5, longest_pause_s=0.2
        ) as distributor,
    ):
        campaign = distributor.start(one_task())
    assert campaign.outcomes == {Outcome.BOARD_LOST: 1, Outcome.FINISHED: 1}
    assert log.ended[0].reason.startswith(
        "did not end within 0.5 s, and could not be stopped: the board sent "
    )
    assert log.ended[0].reason.endswith(" bytes of frames after STOP")


def test_a_flood_of_events_after_a_stop_that_is_answered_costs_none_of_them() -> None:
    """A board that was held back has more to say than it had sent: all of it belongs to the run."""
    frames = 2_000

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1))
        assert line.word() == Command.STOP
        for _ in range(frames):
            line.send_events(*(("START", 0, stamp) for stamp in range(100)))
        line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    log = RecordingHandler()
    with scripted_board(script) as address, Distributor(address, event_handler=log) as distributor:
        distributor.start(endless_task(), wait=False)
        wait_until(lambda: "START" in log.types, 20, "the run")
        distributor.stop()
    assert [run.outcome for run in log.ended] == [Outcome.STOPPED_BY_USER]
    assert len(log.types) == 1 + 100 * frames


@pytest.mark.parametrize(
    ("document", "outcome"),
    [(b"no profile", Outcome.BOARD_ERROR), (b"<profile/>", Outcome.STOPPED_BY_USER)],
    ids=["no profile", "profile"],
)
def test_only_a_profile_ends_a_silence(document: bytes, outcome: Outcome) -> None:
    is_over = threading.Event()

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1))
        while not is_over.wait(0.1):
            line.send_frame(document)
        line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    log = RecordingHandler()
    with (
        scripted_board(script) as address,
        Distributor(address, event_handler=log, silence_timeout_s=1, max_attempts=1) as distributor,
    ):
        distributor.start(endless_task(), wait=False)
        wait_until(lambda: bool(log.ended) or distributor.counters.frames > 40, 30, "an end or no end")
        is_over.set()
        distributor.stop()
    assert [run.outcome for run in log.ended] == [outcome]
    if outcome is Outcome.BOARD_ERROR:
        assert log.ended[0].reason == "for 1 s the board sent only frames that are not profiles"


def test_a_slow_handler_does_not_make_invalid_frames_count_as_silence() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        for _ in range(4):
            line.send_frame(b"no profile")
            line.send_events(("START", 0, 1))
        finish_run(line)
        line.wait_for_end()

    class Slow(RecordingHandler):
        def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
            super().__taskset_quarantine__(taskset, quarantined)
            time.sleep(0.5)

    log = Slow()
    with (
        scripted_board(script) as address,
        Distributor(address, event_handler=log, silence_timeout_s=0.3) as distributor,
    ):
        assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
    assert len(log.quarantined) == 4


def test_of_an_idle_board_that_floods_little_is_kept_however_often_it_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connections: list[BoardConnection] = []
    is_idle, is_enough = threading.Event(), threading.Event()

    def script(line: BoardConnection) -> None:
        connections.append(line)
        if is_enough.is_set():
            good_board(line)
        if is_idle.is_set():
            line.obey_until(Command.AVAILABLE)
        else:
            line.obey_until(Command.START)
            finish_run(line)
            is_idle.wait(20)
        flood(line, b"no profile")

    log = Counting()
    with (
        scripted_board(script) as address,
        Distributor(address, event_handler=log, limits=FEW, longest_pause_s=0.2) as distributor,
    ):
        distributor.start(one_task())
        is_idle.set()
        wait_until(lambda: len(connections) > 3, 30, "the board to come back")
        is_enough.set()
        before = len(connections)
        wait_until(lambda: len(connections) > before, 30, "the board to be good")
        assert distributor.start(one_task()).outcomes == {Outcome.FINISHED: 1}
    assert log.pieces == FEW.quarantined_pieces
    assert "lost: the board sent more than 20 pieces" in caplog.text
    assert re.search(r"between two runs: [0-9,]+ more pieces of [0-9,]+ bytes were counted", caplog.text)
