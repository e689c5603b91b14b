"""Splits a board's byte stream into frames and answers, without a socket or a clock.

The trap: an answer's value is also a valid frame size (GO_SEND is 144), so what follows decides. The body of
a frame is text, whose first four bytes, read as a word, exceed every size that we accept; an answer is
followed by nothing, or by the size of a frame. While nothing has followed, `resolve_ambiguity` takes the word
for the answer. If text follows after all, this is corrected and the answer is expected again.

Newer boards do not lock their socket, so an answer can also stand between the size and the body of a frame.
It cannot be mistaken for the body, because an answer is not text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskgen.boards.limits import MAX_FRAME_BYTES
from taskgen.boards.protocol import WORD, Answer
from taskgen.errors import BoardProtocolError

_WORD_BYTES: Final = WORD.size


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


def _word(buffer: bytearray, position: int) -> int:
    word: int = WORD.unpack_from(buffer, position)[0]
    return word


def _is_text(word: int) -> bool:
    """Whether the four bytes of a word are the beginning of a document and not a size that we accept."""
    return word > MAX_FRAME_BYTES and word & 0x80808080 == 0
