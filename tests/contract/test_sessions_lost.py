"""Boards that break off, break the protocol or fall silent: which error a session raises, and when."""

import time

import pytest

from taskgen.boards.limits import MAX_UNSOLICITED_BYTES
from taskgen.boards.taskloader import TaskloaderSession
from taskgen.boards.taskloader_protocol import WORD, Command
from taskgen.errors import BoardLostError, BoardProtocolError, SessionError
from tests.support.board_sessions import receive_rest, talk
from tests.support.profiles import profile_document
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.tasksets import two_tasks


def test_a_stream_that_ends_in_a_frame_gives_the_complete_frames_and_then_an_error() -> None:
    whole = profile_document(("START", 0, 1))

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send(WORD.pack(len(whole)) + whole + WORD.pack(len(whole)) + whole[:20])

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        assert await connected.receive(5) == [whole]
        with pytest.raises(BoardLostError, match="in the middle of a frame"):
            await connected.receive(5)

    with scripted_board(script) as address:
        talk(address, conversation)


def test_an_incomplete_frame_means_a_lost_board_whatever_the_silence_timeout() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send(WORD.pack(100) + b"<profile>")
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        with pytest.raises(BoardLostError, match="rest of a frame"):
            await connected.receive(None)

    with scripted_board(script) as address:
        talk(address, conversation)


def test_a_board_that_always_has_a_frame_begun_is_not_lost_while_frames_are_completed() -> None:
    whole = profile_document(("START", 0, 1))
    data = (WORD.pack(len(whole)) + whole) * 8

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        step = len(data) // 8
        for begin in range(-step // 2, len(data), step):  # each piece ends in the middle of a frame
            line.send(data[max(begin, 0) : begin + step])
            time.sleep(0.2)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        frames: list[bytes] = []
        while len(frames) < 8:
            frames += await connected.receive(5)
        assert frames == [whole] * 8

    with scripted_board(script) as address:
        talk(address, conversation, frame_timeout_s=0.6)


def test_a_size_over_the_limit_is_a_protocol_error_after_the_frames_before_it() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1))
        line.send(WORD.pack(0xFFFFFFFF))
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        assert await connected.receive(5) == [profile_document(("START", 0, 1))]
        with pytest.raises(BoardProtocolError, match="4294967295"):
            await connected.receive(5)

    with scripted_board(script) as address:
        talk(address, conversation)


@pytest.mark.parametrize("size", [0, 150, 512 * 1024])
def test_a_board_that_floods_where_an_answer_is_awaited_does_not_fill_the_memory(size: int) -> None:
    many = (WORD.pack(size) + b"<".ljust(size)[:size]) * (1 + 2**20 // (size + 64))

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.CLEAR)
        for _ in range(40):
            line.send(many)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        with pytest.raises(BoardProtocolError, match="while AVAILABLE was expected"):
            await connected.start(two_tasks().checked())
        kept = sum(64 + len(frame) for frame in connected.unsolicited)
        assert MAX_UNSOLICITED_BYTES < kept < 2 * MAX_UNSOLICITED_BYTES

    with scripted_board(script) as address:
        talk(address, conversation, answer_timeout_s=20)


def test_a_newer_board_that_stops_answering_is_lost() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        await connected.stop(is_finished=True)
        with pytest.raises(BoardLostError):
            await connected.receive(None)

    with scripted_board(script) as address:
        talk(address, conversation, answer_timeout_s=0.3)


def test_a_board_that_keeps_sending_after_the_stop_without_answering_is_lost() -> None:
    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            line.send_events(("START", 0, 1))
            time.sleep(0.01)

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        await connected.stop(is_finished=False)
        with pytest.raises(BoardLostError, match="did not answer"):
            await receive_rest(connected, two_tasks().checked())

    with scripted_board(script) as address:
        talk(address, conversation, answer_timeout_s=0.3)


def test_all_errors_of_a_session_are_in_one_tree() -> None:
    assert issubclass(BoardLostError, SessionError)
    assert issubclass(BoardProtocolError, SessionError)
