"""The board's byte stream as frames and answers: no socket, no clock, so every split of it can be tried.

The trap: an answer's value is a legal frame size as well (GO_SEND is 144). What follows decides. The body
of a frame is text, so its first four bytes, read as a word, are larger than any size we take; after an
answer comes nothing, or the size of a frame. When nothing has come yet, `settle` takes the word for the
answer, and if text follows all the same, that is put right and the answer is awaited once more.

Newer boards do not lock their socket: an answer can also stand between the size and the body of a frame.
No body begins so, as an answer is no text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskgen.boards.limits import MAX_FRAME_BYTES
from taskgen.boards.protocol import WORD, Answer
from taskgen.errors import BoardProtocolError

_WORD_BYTES: Final = WORD.size


@dataclass(frozen=True, slots=True)
class Retracted:
    """An answer given before was none: its word was the size of a frame, which comes next."""

    answer: Answer


Item = bytes | Answer | Retracted
"""What a stream holds: the body of a frame, or an answer."""


class Deframer:
    """Takes bytes in any pieces and gives what is whole.

    Args:
        max_frame_bytes: a size above it ends the conversation, before anything is allocated.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()
        self._awaited: list[Answer] = []
        self._settled: Answer | None = None
        self.error: BoardProtocolError | None = None
        """Why the stream cannot be followed any further: a size over the limit."""

    def await_answer(self, answer: Answer) -> None:
        """From now on one such word may be an answer; otherwise every word is a size."""
        self._awaited.append(answer)

    @property
    def is_amid(self) -> bool:
        """Whether the stream stands within a word or a frame: its end now would be an error."""
        return bool(self._buffer)

    @property
    def is_ambiguous(self) -> bool:
        """Whether a word stands there that is an answer if nothing follows soon: see `settle`."""
        return len(self._buffer) == _WORD_BYTES and self._answer() is not None

    def settle(self) -> Answer | None:
        """Take an undecided word for the answer, as nothing has followed it; None if there is none."""
        answer = self._answer() if self.is_ambiguous else None
        if answer is not None:
            del self._buffer[:_WORD_BYTES]
            self._awaited.remove(answer)
            self._settled = answer
        return answer

    def feed(self, data: bytes) -> list[Item]:
        """Add what was read; returns what is whole now, in order. After an `error` nothing more is."""
        self._buffer += data
        items: list[Item] = []
        position = 0
        while self.error is None and (taken := self._take(position, items)) > position:
            position = taken
        del self._buffer[:position]
        return items

    def _take(self, position: int, items: list[Item]) -> int:
        """Append what stands whole at a position to `items`; returns where the next begins."""
        buffer = self._buffer
        body = position + _WORD_BYTES
        if len(buffer) < body:
            return position
        size = _word(buffer, position)
        if self._settled is not None and _is_text(size):
            return self._retract(position, items)
        if size in self._awaited:
            if len(buffer) < body + _WORD_BYTES:
                return position
            if not _is_text(_word(buffer, body)):
                items.append(self._awaited.pop(self._awaited.index(Answer(size))))
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
        self._settled = None
        items.append(bytes(self._buffer[body : body + size]))
        return body + size

    def _take_answer_within(self, body: int, items: list[Item]) -> None:
        """Take an answer out that stands where a body should begin."""
        if len(self._buffer) >= body + _WORD_BYTES and _word(self._buffer, body) in self._awaited:
            items.append(self._awaited.pop(self._awaited.index(Answer(_word(self._buffer, body)))))
            del self._buffer[body : body + _WORD_BYTES]

    def _retract(self, position: int, items: list[Item]) -> int:
        """Text stands where a size should: the settled answer was the size of this text."""
        assert self._settled is not None  # noqa: S101 - holds by the only call
        answer, self._settled = self._settled, None
        self._awaited.append(answer)
        self._buffer[position:position] = WORD.pack(answer)
        items.append(Retracted(answer))
        return self._take(position, items)

    def _answer(self) -> Answer | None:
        word = _word(self._buffer, 0)
        return Answer(word) if word in self._awaited else None


def _word(buffer: bytearray, position: int) -> int:
    word: int = WORD.unpack_from(buffer, position)[0]
    return word


def _is_text(word: int) -> bool:
    """Whether the four bytes of a word begin a document rather than stand for a size that we take."""
    return word > MAX_FRAME_BYTES and word & 0x80808080 == 0
