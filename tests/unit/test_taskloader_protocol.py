"""The Taskloader's protocol as a state machine: what is pending, how long to wait, and what ends it."""

from __future__ import annotations

import pytest

from taskgen.boards.taskloader_protocol import WORD, Answer, TaskloaderProtocol
from taskgen.errors import BoardLostError, BoardProtocolError, BoardSilentError

_FRAME_TIMEOUT_S = 10.0


@pytest.fixture
def protocol() -> TaskloaderProtocol:
    return TaskloaderProtocol(max_frame_bytes=1000, frame_timeout_s=_FRAME_TIMEOUT_S)


def frame(body: bytes) -> bytes:
    return WORD.pack(len(body)) + body


def test_an_expected_answer_is_pending_until_silence_follows_it(protocol: TaskloaderProtocol) -> None:
    protocol.expect(Answer.GO_SEND)
    protocol.feed(WORD.pack(Answer.GO_SEND), now=0)
    assert protocol.is_pending(Answer.GO_SEND)
    assert not protocol.has_spoken
    wait_s = protocol.wait_s(0, silence_s=None)
    assert wait_s is not None
    protocol.time_out(wait_s)
    assert not protocol.is_pending(Answer.GO_SEND)
    assert protocol.has_spoken


def test_an_answer_that_was_the_size_of_a_late_frame_is_pending_again(protocol: TaskloaderProtocol) -> None:
    body = b"<profile/>".ljust(Answer.GO_SEND)
    protocol.expect(Answer.GO_SEND)
    protocol.feed(frame(body)[:4], now=0)
    protocol.time_out(0.02)
    protocol.feed(body, now=1)
    assert protocol.is_pending(Answer.GO_SEND)
    assert protocol.take_frames() == [body]
    assert protocol.take_frames() == []


def test_the_rest_of_a_frame_is_awaited_from_its_beginning_on(protocol: TaskloaderProtocol) -> None:
    assert protocol.wait_s(0, silence_s=40) == 40
    protocol.feed(frame(b"<profile/>")[:6], now=100)
    protocol.feed(b"of", now=103)
    assert protocol.wait_s(104, silence_s=40) == _FRAME_TIMEOUT_S - 4
    with pytest.raises(BoardLostError, match="rest of a frame did not arrive within 10 s"):
        protocol.time_out(_FRAME_TIMEOUT_S - 4)


def test_silence_between_frames_is_distinguished_from_a_broken_frame(protocol: TaskloaderProtocol) -> None:
    protocol.feed(frame(b"<profile/>"), now=0)
    with pytest.raises(BoardSilentError, match=r"was silent for 1\.5 s"):
        protocol.time_out(1.5)


@pytest.mark.parametrize(("data", "place"), [(b"\x10", "in the middle of a"), (b"", "between two")])
def test_a_closed_connection_says_where_it_ended(
    protocol: TaskloaderProtocol, data: bytes, place: str
) -> None:
    protocol.feed(frame(b"<profile/>") + data, now=0)
    with pytest.raises(BoardLostError, match=place):
        protocol.feed(b"", now=1)


def test_a_live_document_is_a_frame_only_where_none_is_expected(protocol: TaskloaderProtocol) -> None:
    protocol.expect_live()
    protocol.feed(frame(b"<live/>") * 2, now=0)
    assert protocol.take_frames() == [b"<live/>"]


def test_empty_frames_count_towards_the_limit_until_it_is_reset(protocol: TaskloaderProtocol) -> None:
    protocol.feed(frame(b"") * 10, now=0)
    with pytest.raises(BoardProtocolError, match="the board sent 640 bytes of frames after STOP"):
        protocol.check_limit(639, "after STOP")
    protocol.reset_limit()
    protocol.check_limit(0, "after STOP")


def test_after_a_size_over_the_limit_nothing_is_awaited(protocol: TaskloaderProtocol) -> None:
    protocol.feed(WORD.pack(1001), now=0)
    with pytest.raises(BoardProtocolError, match="1001 bytes"):
        protocol.wait_s(0, silence_s=None)
