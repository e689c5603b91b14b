"""The client's side of the Taskloader protocol: docs/taskloader.md, section 1."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from taskgen.boards import protocol
from taskgen.boards.address import Address
from taskgen.boards.binaries import read_binary
from taskgen.boards.connection import Line
from taskgen.boards.framing import Deframer, Item, Retracted
from taskgen.boards.limits import MAX_BYTES_AFTER_STOP, MAX_UNSOLICITED_BYTES
from taskgen.boards.protocol import Answer, Command
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.errors import BoardLostError, BoardProtocolError, BoardSilentError, TaskSetError
from taskgen.taskset import TaskSet, to_xml

_FRAME_BYTES: Final = 64
"""What a frame costs beside its text, so that empty ones count too."""
_SETTLE_S: Final = 0.02
"""A frame's body follows its size at once; after so long without one, the word was an answer."""


class TaskloaderSession(AbstractSession):
    """A TCP connection to a board."""

    def __init__(self, address: Address, settings: SessionSettings) -> None:
        super().__init__(address, settings)
        self._deframer = Deframer(settings.limits.frame_bytes)
        self._connected_line: Line | None = None
        self._amid_since: float | None = None
        self._frames: list[bytes] = []
        self._heard_bytes = 0
        self._given: Counter[Answer] = Counter()
        self._asked_available = 0
        self._is_newer = False
        self._has_heard = self._is_live_due = False
        self._is_stopping = False
        self._is_silence_due = False
        self._stop_timeout_s = self._waited_s = 0.0
        self._asleep_until = 0.0
        self._held: set[str] = set()

    @classmethod
    def check(cls, *session_params: Any) -> None:
        """See `AbstractSession.check`: admission control data, if given, is any nested dictionary."""
        for admission_control in session_params:
            if not isinstance(admission_control, Mapping | None):
                raise TaskSetError(
                    f"admission control data has to be a dictionary, not {admission_control!r}"
                )
            if admission_control:
                to_xml(admission_control)

    async def connect(self) -> None:
        """Open the connection and have the board say something, as it does not of itself."""
        self._connected_line = await Line.open(self.address, self.settings.connect_timeout_s)
        await self._greet()

    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        """CLEAR, OPTIMIZE, SEND_DESCS, SEND_BINARIES, START; see `AbstractSession.start`."""
        description = taskset.xml()
        self._is_stopping = False
        self._heard_bytes = 0
        self._set_unsolicited_apart()
        await self._send(protocol.command(Command.CLEAR))
        await self._synchronise()
        for admission_control in session_params:
            if admission_control:
                await self._optimise(admission_control)
        await self._send(protocol.command(Command.SEND_DESCS, description))
        await self._send_binaries(taskset)
        self._set_unsolicited_apart()
        await self._send(protocol.command(Command.START))
        offsets_s = sum(int(task["offset"]) for task in taskset) / 1000
        self._asleep_until = max(self._asleep_until, time.monotonic()) + offsets_s

    @property
    def asleep_s(self) -> float:
        """Newer boards sleep through the offsets of all tasks while they obey START, and answer nothing."""
        return max(0.0, self._asleep_until - time.monotonic())

    async def receive(self, timeout_s: float | None) -> list[bytes]:
        """The frames that have come; see `AbstractSession.receive`."""
        while not self._frames:
            if not self._is_stopping:
                await self._read(timeout_s)
            elif await self._is_over():
                self._is_stopping = False
                break
        frames, self._frames = self._frames, []
        return frames

    async def stop(self, *, is_finished: bool) -> None:
        """STOP, CLEAR; a newer board is asked to answer after them, so that the end can be told."""
        await self._send(protocol.command(Command.STOP) + protocol.command(Command.CLEAR))
        self._is_stopping = True
        self._is_silence_due = is_finished
        self._heard_bytes = 0
        self._stop_timeout_s, self._waited_s = self.settings.answer_timeout_s, 0.0
        if self._is_newer:
            self._stop_timeout_s = self._answer_timeout_s
            await self._ask_available()

    async def reboot(self) -> None:
        """REBOOT (newer boards): the connection breaks and the binaries are lost."""
        await self._send(protocol.command(Command.REBOOT))

    async def close(self) -> None:
        """Close the connection; what runs on the board goes on until the next CLEAR."""
        line, self._connected_line = self._connected_line, None
        if line is not None:
            await line.close()

    async def _greet(self) -> None:
        """See that somebody answers, and of what age: a board that serves another client only accepts."""
        await self._ask_available()
        try:
            await self._wait_for(Answer.AVAILABLE, self._asked_available, self.settings.probe_timeout_s)
        except BoardSilentError:
            await self._hear_anything()
        self._is_newer = self._given[Answer.AVAILABLE] >= self._asked_available

    async def _hear_anything(self) -> None:
        """Ask what boards of every age answer."""
        self._is_live_due = True
        await self._send(protocol.command(Command.GET_LIVE))
        deadline = time.monotonic() + self.settings.answer_timeout_s
        try:
            while not self._has_heard or self._deframer.is_ambiguous:
                await self._read(deadline - time.monotonic())
        except BoardSilentError as error:
            raise BoardSilentError(
                "connected, but it said nothing: it serves somebody else, or is frozen"
            ) from error

    async def _synchronise(self) -> None:
        """Read all that a newer board says until it has done what it was told; older ones cannot tell."""
        if self._is_newer:
            await self._ask_available()
            await self._wait_for(Answer.AVAILABLE, self._asked_available, self._answer_timeout_s)

    async def _ask_available(self) -> None:
        self._asked_available += 1
        self._deframer.await_answer(Answer.AVAILABLE)
        await self._send(protocol.command(Command.AVAILABLE))

    async def _is_over(self) -> bool:
        """After a stop: read on until something came, or a newer board answered, or an older is silent."""
        is_answered = self._given[Answer.AVAILABLE] >= self._asked_available
        if is_answered if self._is_newer else self._is_silence_due:
            if self._is_newer:
                self._asleep_until = 0.0
            return True
        self._check_patience()
        began = time.monotonic()
        left_s = self._stop_timeout_s - self._waited_s
        try:
            await self._read(left_s if self._is_newer else self.settings.probe_timeout_s)
        except BoardSilentError:
            return not self._is_newer
        finally:
            self._waited_s += time.monotonic() - began
        return False

    def _check_patience(self) -> None:
        """After a stop: see that it comes to an end. Only waiting counts, not the time of slow handlers."""
        if self._waited_s >= self._stop_timeout_s and not self._deframer.is_ambiguous:
            raise BoardLostError(
                f"the board gave no answer, or no peace, within {_seconds(self._stop_timeout_s)} of STOP"
            )
        self._check_heard(MAX_BYTES_AFTER_STOP, "after STOP")

    def _check_heard(self, most: int, where: str) -> None:
        if self._heard_bytes > most:
            raise BoardProtocolError(f"the board sent {self._heard_bytes} bytes of frames {where}")

    async def _optimise(self, admission_control: Mapping[str, Any]) -> None:
        await self._send(protocol.command(Command.OPTIMIZE, protocol.padded(to_xml(admission_control))))

    async def _send_binaries(self, taskset: TaskSet) -> None:
        """Send the binaries that this connection's board does not hold yet, each after its GO_SEND."""
        folder = self.settings.binaries
        missing = sorted(taskset.binaries() - self._held) if folder is not None else []
        if folder is None or not missing:
            return
        contents = {name: await asyncio.to_thread(read_binary, folder / name) for name in missing}
        before = self._given[Answer.GO_SEND]
        await self._send(protocol.command(Command.SEND_BINARIES) + protocol.WORD.pack(len(missing)))
        for number, (name, content) in enumerate(contents.items(), start=1):
            self._deframer.await_answer(Answer.GO_SEND)
            await self._wait_for(Answer.GO_SEND, before + number, self._answer_timeout_s)
            await self._send(protocol.binary(name, content))
        self._held.update(missing)

    async def _wait_for(self, answer: Answer, count: int, timeout_s: float) -> None:
        """Read until an answer has come so many times; frames that come meanwhile are unsolicited."""
        deadline = time.monotonic() + timeout_s
        while self._given[answer] < count:
            try:
                await self._read(deadline - time.monotonic())
            except BoardSilentError as error:
                raise BoardSilentError(
                    f"the board gave no {answer.name} within {_seconds(timeout_s)}"
                ) from error
            finally:
                self._set_unsolicited_apart()
            self._check_heard(MAX_UNSOLICITED_BYTES, f"where {answer.name} was awaited")

    def _set_unsolicited_apart(self) -> None:
        self.unsolicited += self._frames
        self._frames = []

    async def _read(self, timeout_s: float | None) -> None:
        """Read once and sort what is whole into frames and answers."""
        if self._deframer.error is not None:
            raise self._deframer.error
        if self._deframer.is_ambiguous:
            wait_s: float | None = _SETTLE_S
        elif self._amid_since is not None:
            wait_s = self._amid_since + self.settings.frame_timeout_s - time.monotonic()
        else:
            wait_s = timeout_s
        try:  # a word that is settled too early is put right: no second look
            data = await self._line.read(wait_s, looks_twice=not self._deframer.is_ambiguous)
        except TimeoutError as error:
            self._take_silence(wait_s, error)
            return
        if not data:
            where = "in the middle of a frame" if self._deframer.is_amid else "between two frames"
            raise BoardLostError(f"the board closed the connection {where}")
        self._has_heard = True
        self._sort(self._deframer.feed(data))

    def _take_silence(self, waited_s: float | None, error: TimeoutError) -> None:
        answer = self._deframer.settle()
        if answer is not None:
            self._given[answer] += 1
            self._amid_since = None
            return
        if self._amid_since is not None:
            raise BoardLostError(
                f"the rest of a frame did not come within {self.settings.frame_timeout_s:g} s"
            ) from error
        raise BoardSilentError(f"the board said nothing for {_seconds(waited_s or 0)}") from error

    def _sort(self, items: list[Item]) -> None:
        for item in items:
            if isinstance(item, Retracted):
                self._given[item.answer] -= 1
            elif isinstance(item, Answer):
                self._given[item] += 1
            elif self._is_live_due and item.lstrip().startswith(b"<live"):
                self._is_live_due = False
            else:
                self._heard_bytes += _FRAME_BYTES + len(item)
                self._frames.append(item)
        if not self._deframer.is_amid:
            self._amid_since = None
        elif items or self._amid_since is None:
            self._amid_since = time.monotonic()

    async def _send(self, data: bytes) -> None:
        await self._line.write(data, self.settings.answer_timeout_s)

    @property
    def _answer_timeout_s(self) -> float:
        return self.settings.answer_timeout_s + self.asleep_s

    @property
    def _line(self) -> Line:
        if self._connected_line is None:
            raise BoardLostError("not connected")
        return self._connected_line


def _seconds(time_s: float) -> str:
    return f"{round(time_s, 2):g} s"
