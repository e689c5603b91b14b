"""What a board has sent and what it still owes: the Taskloader's protocol as a state machine, without I/O.

The session beside it (`taskloader.py`) owns the socket and the clock; it passes in bytes and times.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from taskgen.boards.framing import Deframer, Item, MisreadAnswer
from taskgen.boards.protocol import Answer
from taskgen.errors import BoardLostError, BoardProtocolError, BoardSilentError

_FRAME_OVERHEAD_BYTES: Final = 64
"""What a frame counts in addition to its text, so that empty frames count too."""
_AMBIGUITY_S: Final = {Answer.GO_SEND: 0.02, Answer.AVAILABLE: 0.001}
"""A frame's body follows its size at once; after this long without one, the word was an answer.

Frames of 144 bytes, which GO_SEND looks like, are common. One of 699,050 bytes, which AVAILABLE looks like,
would hold ten thousand events, and is still recognized when its text comes: waiting for it would delay
every run.
"""


class TaskloaderProtocol:
    """Sorts a board's bytes into frames and answers, and says how long to wait for more.

    Args:
        max_frame_bytes: a larger frame is a protocol error.
        frame_timeout_s: for the rest of a frame.
    """

    def __init__(self, max_frame_bytes: int, frame_timeout_s: float) -> None:
        self._deframer = Deframer(max_frame_bytes)
        self._frame_timeout_s = frame_timeout_s
        self._expected: Counter[Answer] = Counter()
        self._received: Counter[Answer] = Counter()
        self._is_live_expected = False
        self._has_received = False
        self._incomplete_since: float | None = None
        self._frames: list[bytes] = []
        self._frame_bytes = 0

    def expect(self, answer: Answer) -> None:
        """Expect one more such answer."""
        self._expected[answer] += 1
        self._deframer.expect(answer)

    def expect_live(self) -> None:
        """Expect a `<live>` document, which is not a frame of a run."""
        self._is_live_expected = True

    def is_pending(self, answer: Answer) -> bool:
        """Whether an expected answer is still missing."""
        return self._received[answer] < self._expected[answer]

    @property
    def is_ambiguous(self) -> bool:
        """Whether only time can tell if the last word was an answer."""
        return self._deframer.is_ambiguous

    @property
    def has_spoken(self) -> bool:
        """Whether the board has said anything that is understood by now."""
        return self._has_received and not self.is_ambiguous

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
        """Note that nothing came within `wait_s`, which settles what was ambiguous.

        Raises:
            BoardLostError: the rest of a frame is missing.
            BoardSilentError: the board said nothing at all.
        """
        answer = self._deframer.resolve_ambiguity()
        if answer is not None:
            self._received[answer] += 1
            self._incomplete_since = None
        elif self._incomplete_since is not None:
            raise BoardLostError(f"the rest of a frame did not arrive within {self._frame_timeout_s:g} s")
        else:
            raise BoardSilentError(f"the board said nothing for {seconds(waited_s or 0)}")

    def _take(self, item: Item) -> None:
        if isinstance(item, MisreadAnswer):
            self._received[item.answer] -= 1
        elif isinstance(item, Answer):
            self._received[item] += 1
        elif self._is_live_expected and item.lstrip().startswith(b"<live"):
            self._is_live_expected = False
        else:
            self._frame_bytes += _FRAME_OVERHEAD_BYTES + len(item)
            self._frames.append(item)


def seconds(time_s: float) -> str:
    """A duration as errors show it."""
    return f"{round(time_s, 2):g} s"
