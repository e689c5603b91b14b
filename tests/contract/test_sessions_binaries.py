"""Binaries on the Taskloader's line: a board that is ready for them, slow, or not there any more."""

import time
from pathlib import Path

import pytest

from taskgen.boards.taskloader import TaskloaderSession
from taskgen.boards.taskloader_protocol import WORD, Answer, Command
from taskgen.errors import BoardLostError, TaskSetError
from tests.support.board_sessions import talk
from tests.support.profiles import profile_document
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.tasksets import two_tasks

_LATE = profile_document(("EXIT_EXTERNAL", 0, 1)).ljust(Answer.GO_SEND, b"\0")


@pytest.mark.parametrize("is_slow", [False, True], ids=["at once", "body after a pause"])
def test_a_late_frame_of_144_bytes_is_not_taken_for_go_send(tmp_path: Path, is_slow: bool) -> None:
    assert len(_LATE) == Answer.GO_SEND
    for name in ("hey", "pi"):
        (tmp_path / name).write_bytes(name.encode())

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.SEND_DESCS)
        assert line.word() == Command.SEND_BINARIES
        assert line.word() == 2
        line.send(WORD.pack(len(_LATE)))
        if is_slow:  # for so long that the size alone was taken for a GO_SEND
            assert line.read(16).startswith(b"hey\0")
            assert line.payload() == b"hey"
        line.send(_LATE)
        line.send(WORD.pack(Answer.GO_SEND))
        if not is_slow:
            assert line.read(16).startswith(b"hey\0")
            assert line.payload() == b"hey"
        line.send(WORD.pack(Answer.GO_SEND))
        assert line.read(16).startswith(b"pi\0")
        assert line.payload() == b"pi"
        assert line.word() == Command.START
        line.send_events(("START", 0, 5))
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        assert connected.unsolicited == [_LATE]
        assert await connected.receive(5) == [profile_document(("START", 0, 5))]

    with scripted_board(script) as address:
        talk(address, conversation, binaries=tmp_path)


def test_a_board_that_never_gives_a_go_send_is_lost(tmp_path: Path) -> None:
    for name in ("hey", "pi"):
        (tmp_path / name).write_bytes(b"")

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.SEND_DESCS)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        with pytest.raises(BoardLostError, match=r"no GO_SEND within 0\.3 s"):
            await connected.start(two_tasks().checked())

    with scripted_board(script) as address:
        talk(address, conversation, binaries=tmp_path, answer_timeout_s=0.3)


def test_a_missing_binary_is_an_error_of_the_task_set_and_not_of_the_board(tmp_path: Path) -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.SEND_DESCS)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        with pytest.raises(TaskSetError, match=r"binary .*hey"):
            await connected.start(two_tasks().checked())

    with scripted_board(script) as address:
        talk(address, conversation, binaries=tmp_path)


def test_a_large_binary_may_take_longer_than_an_answer_while_the_board_reads_it(tmp_path: Path) -> None:
    content = bytes(48 * 2**20)
    for name in ("hey", "pi"):
        (tmp_path / name).write_bytes(content if name == "hey" else b"")

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.SEND_DESCS)
        assert line.word() == Command.SEND_BINARIES
        assert line.word() == 2
        line.send(WORD.pack(Answer.GO_SEND))
        line.read(16)
        left = line.word()
        while left:  # slowly: two seconds and more in all
            left -= len(line.read(min(left, 2**20)))
            time.sleep(0.05)
        line.send(WORD.pack(Answer.GO_SEND))
        line.read(16)
        assert line.payload() == b""
        assert line.word() == Command.START
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())

    with scripted_board(script) as address:
        talk(address, conversation, binaries=tmp_path, answer_timeout_s=1.0)


def test_a_board_that_takes_no_data_is_lost(tmp_path: Path) -> None:
    for name in ("hey", "pi"):
        (tmp_path / name).write_bytes(bytes(32 * 2**20))

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.SEND_DESCS)
        line.read(8)
        line.send(WORD.pack(Answer.GO_SEND))
        time.sleep(2)

    async def conversation(connected: TaskloaderSession) -> None:
        with pytest.raises(BoardLostError, match="accepted no data"):
            await connected.start(two_tasks().checked())

    with scripted_board(script) as address:
        talk(address, conversation, binaries=tmp_path, answer_timeout_s=0.3)
