"""Each fault of a simulated board does to the stream what it says, and the truth says so too."""

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taskgen.boards.taskloader_protocol import Answer, Command, binary, command
from taskgen.simulation import run_boards
from taskgen.task import Task
from tests.support.board_client import FAST, GO_SEND, BoardClient, board_client, without_time_stamps

WORK = (Task(pkg="hey", period=50, numberofjobs=3), Task(pkg="pi", coreoffset=1, offset=7))
LAST = (("JOBS_DONE", "0"), ("JOBS_DONE", "1"))
SEEDS = (0, 1, 2, 3)

Event = tuple[str, str, int]
"""Type, task id, time stamp."""


class Lab:
    """A board with a fault, and its truth."""

    def __init__(self, truth: Path, **settings: Any) -> None:
        self._stack = ExitStack()
        self._path = truth
        (self.address,) = self._stack.enter_context(run_boards(speed=FAST, truth=truth, **settings))

    def client(self) -> BoardClient:
        return self._stack.enter_context(board_client(self.address))

    def close(self) -> None:
        self._stack.close()

    def truth(self) -> list[dict[str, Any]]:
        """The lines, complete: the board is closed first."""
        self.close()
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def readable(self) -> list[Event]:
        """The events of no destroyed frame."""
        return [event_of(line) for line in self.truth() if "destroyed" not in line]

    def on_time(self) -> list[Event]:
        """Those of them that the client of their run was sent."""
        return [event_of(line) for line in self.truth() if not {"destroyed", "late"} & set(line)]

    def destroyed_by(self, fault: str) -> list[Event]:
        return [event_of(line) for line in self.truth() if line.get("destroyed") == fault]


def event_of(line: dict[str, Any]) -> Event:
    return line["@type"], line["@task-id"], int(line["@time-stamp"])


MakeLab = Callable[..., Lab]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[MakeLab]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Lab:
            made = Lab(tmp_path / "truth.jsonl", **settings)
            stack.callback(made.close)
            return made

        yield make


def end_earlier_run(one: BoardClient) -> None:
    """End what an earlier client has started, and throw away what is still said of it."""
    one.say(Command.CLEAR)
    one.say(Command.AVAILABLE)
    one.until_available()


def read_to_the_end(one: BoardClient) -> tuple[list[Event], bytes]:
    """All events until the board closes the connection, and what was left over."""
    events = []
    while True:
        try:
            events += one.events()
        except EOFError as end:
            return events, end.args[0]


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["split-writes"],
        ["merge-frames"],
        ["single-event"],
        ["trailing-bytes"],
        ["garbage-frame"],
        ["split-writes", "merge-frames", "single-event", "trailing-bytes"],
    ],
)
def test_a_way_of_framing_loses_no_event(lab: MakeLab, faults: list[str]) -> None:
    at = lab(faults=faults)
    one = at.client()
    one.start(*WORK)
    if "garbage-frame" in faults:
        assert not one.frame().startswith(b"<")
    events = one.until(*LAST)
    assert len(events) == 10
    assert at.readable() == events


def test_with_single_event_every_frame_has_one(lab: MakeLab) -> None:
    one = lab(faults=["single-event"]).client()
    one.start(*WORK)
    assert [len(one.events()) for _ in range(10)] == [1] * 10


def test_trailing_bytes_are_inside_the_size_behind_the_document(lab: MakeLab) -> None:
    one = lab(faults=["trailing-bytes"]).client()
    one.start(*WORK)
    document, left_over = one.frame().split(b"</profile>", 1)
    assert document.startswith(b"<profile>")
    assert b"task-id" in document
    assert left_over.strip(b"\n\0")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stream_can_end_in_the_middle_of_a_frame_and_the_next_run_is_whole(
    lab: MakeLab, seed: int
) -> None:
    at = lab(faults=["eof-mid-frame"], seed=seed)
    one = at.client()
    one.start(*WORK)
    events, rest = read_to_the_end(one)
    assert rest.startswith(b"<profile>")
    assert b"</profile>" not in rest
    again = at.client()
    end_earlier_run(again)
    again.start(*WORK)
    events_again = again.until(*LAST)
    assert len(events_again) == 10
    assert at.on_time() == events + events_again
    assert at.destroyed_by("eof-mid-frame")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_frozen_board_sends_nothing_more_until_the_client_disconnects(lab: MakeLab, seed: int) -> None:
    at = lab(faults=["freeze"], seed=seed)
    with board_client(at.address) as one:
        one.start(*WORK)
        while not one.is_silent():
            pass
        one.say(Command.AVAILABLE)
        one.say(Command.GET_LIVE)
        assert one.is_silent()
    again = at.client()
    end_earlier_run(again)
    again.start(*WORK)
    assert len(again.until(*LAST)) == 10
    assert len(at.on_time()) < 20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_huge_size_replaces_a_frames_own(lab: MakeLab, seed: int) -> None:
    at = lab(faults=["huge-size"], seed=seed)
    with board_client(at.address) as one:
        one.start(*WORK)
        whole = []
        while (size := struct.unpack("<I", one.read(4))[0]) != 0xFFFFFFFF:
            whole.append(one.read(size))
        assert one.read(9) == b"<profile>"
    again = at.client()
    end_earlier_run(again)
    again.start(*WORK)
    assert len(again.until(*LAST)) == 10
    assert len(at.on_time()) == sum(frame.count(b"<event ") for frame in whole) + 10
    assert at.destroyed_by("huge-size")


def test_a_missing_start_is_neither_sent_nor_recorded(lab: MakeLab) -> None:
    at = lab(faults=["missing-start"])
    one = at.client()
    one.start(*WORK)
    events = one.until(*LAST)
    assert without_time_stamps(events).count(("START", "0")) == 2
    assert without_time_stamps(events).count(("EXIT", "0")) == 3
    assert at.readable() == events


def test_a_job_whose_start_is_missing_is_killed_all_the_same(lab: MakeLab) -> None:
    one = lab(faults=["missing-start"]).client()
    one.start(Task(pkg="idle"), Task(pkg="hey", coreoffset=1))
    one.until(("JOBS_DONE", "1"))
    one.say(Command.STOP)
    assert without_time_stamps(one.events()) == [("EXIT_EXTERNAL", "0")]


def test_the_clock_restarts_in_the_middle_of_a_run_and_continues_from_there(lab: MakeLab) -> None:
    at = lab(faults=["restarted-clock"], clock_start=10**6)
    one = at.client()
    one.start(*WORK)
    events = one.until(*LAST)
    stamps = [stamp for _, _, stamp in events]
    falls = [number for number in range(1, len(stamps)) if stamps[number] < stamps[number - 1]]
    assert len(falls) == 1
    assert stamps[0] >= 10**6
    assert stamps[falls[0]] == 0
    assert at.readable() == events


def ask_to_send_a_binary(one: BoardClient) -> None:
    one.send(command(Command.SEND_BINARIES) + struct.pack("<I", 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_late_exit_external_comes_where_a_go_send_is_awaited(lab: MakeLab, seed: int) -> None:
    at = lab(faults=["late-exit-external"], seed=seed)
    one = at.client()
    one.start(Task(id=4, pkg="hey", coreoffset=1), Task(id=3, pkg="idle"))
    told = one.until(("JOBS_DONE", "4"))
    one.say(Command.STOP)
    one.say(Command.CLEAR)
    ask_to_send_a_binary(one)
    (size,) = struct.unpack("<I", one.read(4))
    document = one.read(size)
    assert document.count(b"<event ") == document.count(b'type="EXIT_EXTERNAL" task-id="3"') == 1
    assert (size == Answer.GO_SEND) == (seed % 2 == 0)
    assert one.read(4) == GO_SEND
    one.send(binary("mine", b"x"))
    (*before, killed) = at.readable()
    assert before == told
    assert killed[:2] == ("EXIT_EXTERNAL", "3")
    assert killed[2] >= told[-1][2]


def test_where_nothing_was_killed_a_late_exit_external_is_made_up(lab: MakeLab) -> None:
    at = lab(faults=["late-exit-external"])
    one = at.client()
    one.say(Command.CLEAR)
    ask_to_send_a_binary(one)
    assert without_time_stamps(one.events()) == [("EXIT_EXTERNAL", "0")]
    assert one.read(4) == GO_SEND
    (line,) = at.truth()
    assert line["late"] == "late-exit-external"
