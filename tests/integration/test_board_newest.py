"""A simulated board of the newest generation: what its real model does, and trips its clients up with."""

import asyncio
import struct

import pytest

from taskgen.boards.taskloader_protocol import Answer, Command, binary, command
from taskgen.simulation import SimulatedBoard
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.board_client import AVAILABLE, FAST, BoardClient, client_of_new_board

OFFSET_MS = 200_000
"""0.2 s of ours: long enough for an answer that comes too early to be seen."""
UNKNOWN = b"<a/>" * 8


def said_until_available(one: BoardClient) -> list[str]:
    """The types of the events that come before the board answers AVAILABLE."""
    documents = b"".join(one.until_available()).decode()
    return [part.partition('"')[0] for part in documents.split('type="')[1:]]


def test_it_takes_admission_control_data_for_unknown_commands_of_four_bytes() -> None:
    with client_of_new_board(dialect="newest") as one:
        one.say(Command.OPTIMIZE, UNKNOWN)
        one.start(Task(pkg="hey"))
        one.until(("JOBS_DONE", "0"))


@pytest.mark.parametrize("more", [1, 2, 3])
def test_data_that_does_not_fill_its_last_word_leaves_it_misaligned_permanently(more: int) -> None:
    with client_of_new_board(dialect="newest") as one:
        one.say(Command.OPTIMIZE, UNKNOWN + b" " * more)
        for _ in range(3):
            one.say(Command.AVAILABLE)
        assert one.is_silent()


def test_it_obeys_data_whose_size_is_a_commands_value() -> None:
    with client_of_new_board(dialect="newest") as one:
        one.send(command(Command.OPTIMIZE) + struct.pack("<I", Command.AVAILABLE))
        assert one.read(4) == AVAILABLE


def test_it_sleeps_through_all_offsets_one_after_the_other_and_answers_nothing_meanwhile() -> None:
    with client_of_new_board(dialect="newest", cores=1) as one:
        one.start(*(Task(pkg="hey", offset=OFFSET_MS) for _ in range(3)))
        one.say(Command.AVAILABLE)
        said = said_until_available(one)
    assert said[:6] == ["START", "EXIT", "JOBS_DONE"] * 2


def test_offsets_add_up() -> None:
    with client_of_new_board(dialect="newest") as one:
        one.start(*(Task(pkg="hey", offset=30) for _ in range(3)))
        events = one.until(*(("JOBS_DONE", str(number)) for number in range(3)))
    starts = [stamp for kind, _, stamp in events if kind == "START"]
    assert [stamp - starts[0] for stamp in starts] == [0, 30, 60]


def test_a_stop_is_obeyed_when_the_offsets_have_passed() -> None:
    with client_of_new_board(dialect="newest") as one:
        one.start(Task(pkg="idle"), Task(pkg="hey", offset=OFFSET_MS))
        one.say(Command.STOP)
        events = one.until(("EXIT_EXTERNAL", "0"))
    (start,) = [stamp for kind, task, stamp in events if (kind, task) == ("START", "0")]
    assert events[-1][2] - start >= OFFSET_MS


@pytest.mark.parametrize("dialect", ["new", "newest"])
def test_it_keeps_the_start_of_a_job_until_some_job_ends(dialect: str) -> None:
    with client_of_new_board(dialect=dialect) as one:
        one.start(Task(pkg="idle", period=10_000), Task(pkg="pi", coreoffset=1, period=10_000))
        kinds = [(kind, task) for kind, task, _ in one.events()]
        assert kinds[:3] == [("START", "0"), ("START", "1"), ("EXIT", "1")]
        one.say(Command.STOP)
        assert [kind for kind, _, _ in one.events()] == ["EXIT_EXTERNAL"]


def test_an_older_board_reports_the_start_of_a_job_at_once() -> None:
    with client_of_new_board(dialect="old") as one:
        one.start(Task(pkg="idle"))
        assert [kind for kind, _, _ in one.events()] == ["START"]


@pytest.mark.parametrize("dialect", ["old", "new"])
def test_other_boards_release_each_task_at_its_own_offset_and_answer_at_once(dialect: str) -> None:
    with client_of_new_board(dialect=dialect) as one:
        one.start(*(Task(pkg="hey", offset=30, coreoffset=core) for core in range(2)))
        events = one.until(("EXIT", "0"), ("EXIT", "1"))
    first, second = (stamp for kind, _, stamp in events if kind == "START")
    assert first == second


@pytest.mark.parametrize(("dialect", "is_replaced"), [("old", True), ("new", False), ("newest", False)])
def test_whether_a_binary_that_is_sent_again_replaces_the_one_that_is_held(
    dialect: str, is_replaced: bool
) -> None:
    async def held() -> list[str]:
        found: list[str] = []
        async with SimulatedBoard(speed=FAST, dialect=dialect) as one:
            reader, writer = await asyncio.open_connection(*one.address.split(":"))
            for content in (b"former", b"rebuilt"):
                writer.write(command(Command.SEND_BINARIES) + struct.pack("<I", 1))
                assert await reader.readexactly(4) == struct.pack("<I", Answer.GO_SEND)
                writer.write(binary("mine", content) + command(Command.GET_LIVE))
                await reader.readexactly(*struct.unpack("<I", await reader.readexactly(4)))
                found.append(one.binaries["mine"])
            writer.close()
        return found

    former, later = asyncio.run(held())
    assert (former != later) is is_replaced


def test_it_reports_that_a_task_has_no_job_left_and_can_be_rebooted() -> None:
    with client_of_new_board(dialect="newest") as one:
        one.say(Command.SEND_DESCS, TaskSet([Task(pkg="hey")]).xml())
        one.say(Command.START)
        one.until(("JOBS_DONE", "0"))
        one.say(Command.REBOOT)
        with pytest.raises(EOFError):
            one.read(1)
