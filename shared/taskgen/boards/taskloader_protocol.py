"""The Taskloader's wire protocol: its words (docs/taskloader.md, section 1), and a state machine without I/O.

All words are unsigned 32-bit little-endian integers. The session beside it (`taskloader.py`) owns the socket
and the clock; it passes in bytes and times.

The trap: an answer's value is also a valid frame size (GO_SEND is 144), so what follows decides. The body of
a frame is text, whose first four bytes, read as a word, exceed every size that we accept; an answer is
followed by nothing, or by the size of a frame. While nothing has followed, `resolve_ambiguity` takes the word
for the answer. If text follows after all, this is corrected and the answer is expected again.

Newer boards do not lock their socket, so an answer can also stand between the size and the body of a frame.
It cannot be mistaken for the body, because an answer is not text.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from taskgen.boards.limits import MAX_FRAME_BYTES
from taskgen.errors import BoardLostError, BoardProtocolError, BoardSilentError

NAME_BYTES: Final = 16
"""The size of a binary's name on the wire: at most 15 ASCII characters, padded with NULs."""

WORD: Final = struct.Struct("<I")


class Command(IntEnum):
    """Commands of a client."""

    SEND_DESCS = 0xDE5
    CLEAR = 0xDE6
    SEND_BINARIES = 0xDE5F11E
    START = 0x514DE5
    STOP = 0x514DE6
    OPTIMIZE = 0x6F7074
    GET_PROFILE = 0x159D1
    GET_LIVE = 0x159D2
    AVAILABLE = 0xAAAAA
    REBOOT = 0x159D3


_COMMANDS: Final = frozenset(Command)


class Answer(IntEnum):
    """Answers of a board, besides frames. Both values are also valid frame sizes."""

    GO_SEND = 0x90
    AVAILABLE = 0xAAAAA


_WORD_BYTES: Final = WORD.size
_FRAME_OVERHEAD_BYTES: Final = 64
"""Added to the size of each frame, so that empty frames count too."""
_AMBIGUITY_S: Final = {Answer.GO_SEND: 0.02, Answer.AVAILABLE: 0.001}
"""A frame's body follows its size at once; after this long without one, the word was an answer.

Frames of 144 bytes, which GO_SEND looks like, are common. One of 699,050 bytes, which AVAILABLE looks like,
would hold ten thousand events, and is still recognized when its text comes: waiting for it would delay
every run.
"""


class TaskloaderProtocol:
    """Sorts a board's bytes into frames and answers, and decides how long to wait for more.

    Args:
        max_frame_bytes: a larger frame is a protocol error.
        frame_timeout_s: for the rest of a frame.
    """

    def __init__(self, max_frame_bytes: int, frame_timeout_s: float) -> None:
        self._deframer = Deframer(max_frame_bytes)
        self._frame_timeout_s = frame_timeout_s
        self._expected_lives = 0
        self._has_received = False
        self._incomplete_since: float | None = None
        self._frames: list[bytes] = []
        self._frame_bytes = 0

    def expect(self, answer: Answer) -> None:
        """Expect one more such answer."""
        self._deframer.expect(answer)

    def expect_live(self) -> None:
        """Expect one more `<live>` document, which is not a frame of a run."""
        self._expected_lives += 1

    def is_pending(self, answer: Answer) -> bool:
        """Whether an expected answer is still missing."""
        return self._deframer.is_expected(answer)

    @property
    def is_live_pending(self) -> bool:
        """Whether an expected `<live>` document is still missing."""
        return self._expected_lives > 0

    @property
    def is_ambiguous(self) -> bool:
        """Whether only time can tell if the last word was an answer."""
        return self._deframer.is_ambiguous

    @property
    def has_spoken(self) -> bool:
        """Whether the board has sent anything intelligible so far."""
        return self._has_received and not self.is_ambiguous

    @property
    def has_frames(self) -> bool:
        """Whether `take_frames` would return any."""
        return bool(self._frames)

    def take_frames(self) -> list[bytes]:
        """Return the frames received since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def reset_limit(self) -> None:
        """Start counting for `check_limit`."""
        self._frame_bytes = 0

    def check_limit(self, max_bytes: int, phase: str) -> None:
        """Check the size of all frames received since `reset_limit`.

        Raises:
            BoardProtocolError: they exceed the limit.
        """
        if self._frame_bytes > max_bytes:
            raise BoardProtocolError(f"the board sent {self._frame_bytes} bytes of frames {phase}")

    def wait_s(self, now: float, silence_s: float | None) -> float | None:
        """Return how long to wait for the next bytes, if a silence of `silence_s` is acceptable.

        Raises:
            BoardProtocolError: the stream cannot be read any further.
        """
        if self._deframer.error is not None:
            raise self._deframer.error
        if (answer := self._deframer.ambiguous_answer) is not None:
            return _AMBIGUITY_S[answer]
        if self._incomplete_since is not None:
            return self._incomplete_since + self._frame_timeout_s - now
        return silence_s

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes as they were read; none means that the board has closed the connection.

        Raises:
            BoardLostError: the connection is closed.
        """
        if not data:
            place = "in the middle of a frame" if self._deframer.is_incomplete else "between two frames"
            raise BoardLostError(f"the board closed the connection {place}")
        self._has_received = True
        items = self._deframer.feed(data)
        for item in items:
            self._take(item)
        if not self._deframer.is_incomplete:
            self._incomplete_since = None
        elif items or self._incomplete_since is None:
            self._incomplete_since = now

    def time_out(self, waited_s: float | None) -> None:
        """Note that nothing came within `wait_s`, which resolves an ambiguity.

        Raises:
            BoardLostError: the rest of a frame is missing.
            BoardSilentError: the board sent nothing at all.
        """
        if self._deframer.resolve_ambiguity() is not None:
            self._incomplete_since = None
        elif self._incomplete_since is not None:
            raise BoardLostError(f"the rest of a frame did not arrive within {self._frame_timeout_s:g} s")
        else:
            raise BoardSilentError(f"the board was silent for {seconds(waited_s or 0)}")

    def _take(self, item: Item) -> None:
        if isinstance(item, Answer | MisreadAnswer):
            return  # the deframer knows what is still expected
        if self._expected_lives and item.lstrip().startswith(b"<live"):
            self._expected_lives -= 1
        else:
            self._frame_bytes += _FRAME_OVERHEAD_BYTES + len(item)
            self._frames.append(item)


@dataclass(frozen=True, slots=True)
class MisreadAnswer:
    """An answer returned earlier was in fact the size of a frame, which comes next."""

    answer: Answer


Item = bytes | Answer | MisreadAnswer
"""The body of a frame, an answer, or the correction of one."""


class Deframer:
    """Takes bytes in pieces of any size and returns complete items.

    Args:
        max_frame_bytes: a larger size is an error, before anything is allocated.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()
        self._expected: list[Answer] = []
        self._assumed: Answer | None = None
        self.error: BoardProtocolError | None = None
        """Why the rest of the stream cannot be read: a size over the limit."""

    def expect(self, answer: Answer) -> None:
        """Accept one such word as an answer from now on; unexpected ones are sizes."""
        self._expected.append(answer)

    def is_expected(self, answer: Answer) -> bool:
        """Whether such an answer is still missing."""
        return answer in self._expected

    @property
    def is_incomplete(self) -> bool:
        """Whether the stream ends within a word or a frame."""
        return bool(self._buffer)

    @property
    def ambiguous_answer(self) -> Answer | None:
        """The answer that the last word is unless something follows soon."""
        if len(self._buffer) != _WORD_BYTES:
            return None
        word = _word(self._buffer, 0)
        return Answer(word) if word in self._expected else None

    @property
    def is_ambiguous(self) -> bool:
        """Whether the last word is an answer unless something follows soon."""
        return self.ambiguous_answer is not None

    def resolve_ambiguity(self) -> Answer | None:
        """Take an ambiguous word for the answer, as nothing has followed it; None if there is none."""
        answer = self.ambiguous_answer
        if answer is not None:
            del self._buffer[:_WORD_BYTES]
            self._expected.remove(answer)
            self._assumed = answer
        return answer

    def feed(self, data: bytes) -> list[Item]:
        """Add bytes that were read; returns the items they complete, in order, and none after an `error`."""
        self._buffer += data
        items: list[Item] = []
        position = 0
        while self.error is None and (taken := self._take(position, items)) > position:
            position = taken
        del self._buffer[:position]
        return items

    def _take(self, position: int, items: list[Item]) -> int:
        """Append the item at a position to `items` if it is complete; returns where the next one begins."""
        buffer = self._buffer
        body = position + _WORD_BYTES
        if len(buffer) < body:
            return position
        size = _word(buffer, position)
        if self._assumed is not None and _is_text(size):
            return self._correct(position, items)
        if size in self._expected:
            if len(buffer) < body + _WORD_BYTES:
                return position
            if not _is_text(_word(buffer, body)):
                items.append(self._expected.pop(self._expected.index(Answer(size))))
                return body
        return self._take_frame(size, body, items)

    def _take_frame(self, size: int, body: int, items: list[Item]) -> int:
        if size > self._max:
            self.error = BoardProtocolError(
                f"the board announced a frame of {size} bytes; the limit is {self._max} bytes",
                bytes(self._buffer[body - _WORD_BYTES :]),
            )
            return body - _WORD_BYTES
        if size >= _WORD_BYTES:
            self._take_answer_within(body, items)
        if len(self._buffer) < body + size:
            return body - _WORD_BYTES
        self._assumed = None
        items.append(bytes(self._buffer[body : body + size]))
        return body + size

    def _take_answer_within(self, body: int, items: list[Item]) -> None:
        """Take out an answer that stands where a body should begin."""
        if len(self._buffer) >= body + _WORD_BYTES and _word(self._buffer, body) in self._expected:
            items.append(self._expected.pop(self._expected.index(Answer(_word(self._buffer, body)))))
            del self._buffer[body : body + _WORD_BYTES]

    def _correct(self, position: int, items: list[Item]) -> int:
        """Text stands where a size should: the assumed answer was the size of this text."""
        assert self._assumed is not None  # noqa: S101 - the only caller has checked it
        answer, self._assumed = self._assumed, None
        self._expected.append(answer)
        self._buffer[position:position] = WORD.pack(answer)
        items.append(MisreadAnswer(answer))
        return self._take(position, items)


def seconds(time_s: float) -> str:
    """Format a duration for errors."""
    return f"{round(time_s, 2):g} s"


def _word(buffer: bytearray, position: int) -> int:
    word: int = WORD.unpack_from(buffer, position)[0]
    return word


def _is_text(word: int) -> bool:
    """Whether the four bytes of a word are the beginning of a document and not a size that we accept."""
    return word > MAX_FRAME_BYTES and word & 0x80808080 == 0


def command(word: Command, *payloads: bytes) -> bytes:
    """Encode a command; each payload is preceded by its size."""
    return WORD.pack(word) + b"".join(WORD.pack(len(p)) + p for p in payloads)


def padded(document: bytes) -> bytes:
    """Append spaces to a document, so that a board can safely read it as unknown commands.

    The newest public dom0 reads OPTIMIZE, its size and its XML as commands of four bytes each. A length that
    is not a multiple of four would misalign it permanently, and a length that equals a command would be
    executed. Four bytes of ASCII text are never a command.
    """
    length = -(-len(document) // WORD.size) * WORD.size
    while length in _COMMANDS:
        length += WORD.size
    return document.ljust(length)


def binary(name: str, content: bytes) -> bytes:
    """Encode what follows a GO_SEND: name, size, content."""
    return name.encode("ascii").ljust(NAME_BYTES, b"\0") + WORD.pack(len(content)) + content
