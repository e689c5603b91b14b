"""The session with a board that runs Genode's Taskloader: docs/taskloader.md, section 1."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from taskgen.boards import taskloader_protocol as protocol
from taskgen.boards.address import Address
from taskgen.boards.binaries import digests, read_binary
from taskgen.boards.connection import BoardConnection
from taskgen.boards.limits import MAX_BYTES_AFTER_STOP, MAX_UNSOLICITED_BYTES
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.boards.taskloader_protocol import Answer, Command, TaskloaderProtocol, seconds
from taskgen.errors import BoardLostError, BoardSilentError, TaskSetError
from taskgen.task import Task
from taskgen.taskset import TaskSet, to_xml
from taskgen.untrusted_text import brief

_OTHER_DOCUMENTS: Final = {
    "taskset": "a task-set",
    "periodictask": "a task",
    "pkg": "a parameter of a task",
    "profile": "a profile",
    "live": "a board's answer",
}
"""Root elements of documents that are easily mistaken for admission control data."""
_NEVER_STARTED_WITH_0: Final = {
    "period": "for a single job, write numberofjobs 1 and a period that is longer than the job takes",
    "numberofjobs": "give the number of its jobs",
}
"""What to write instead, by parameter. Some newer boards run a single job if the period is 0, but nothing
distinguishes them from the newest."""
_EXPECTED: Final = 'a dictionary such as {"optimize": {"goal": ...}}'


@dataclass(slots=True)
class _Stopping:
    """A STOP whose end is still to be received."""

    timeout_s: float
    is_finished: bool
    waited_s: float = 0.0
    """Only waiting counts, not the time of slow handlers."""


class TaskloaderSession(AbstractSession):
    """A TCP connection to a board: sends commands and waits; `TaskloaderProtocol` reads what comes back."""

    def __init__(self, address: Address, settings: SessionSettings) -> None:
        super().__init__(address, settings)
        self._protocol = TaskloaderProtocol(settings.limits.frame_bytes, settings.frame_timeout_s)
        self._connection: BoardConnection | None = None
        self._is_newer = False
        """Whether the board answers AVAILABLE."""
        self._is_left_over = True
        """Whether what the board reports is of a task-set that an earlier client has started."""
        self._stopping: _Stopping | None = None
        self._asleep_until = 0.0
        self._sent_binaries: dict[str, str] = {}
        """SHA-256 by name."""

    @override
    @classmethod
    def check(cls, *session_params: Any) -> None:
        for data in session_params:
            if not isinstance(data, Mapping | None) or isinstance(data, Task):
                raise TaskSetError(f"admission control data has to be {_EXPECTED}, not {brief(repr(data))}")
            for root in data or ():
                if root in _OTHER_DOCUMENTS:
                    raise TaskSetError(
                        f"<{root}> is {_OTHER_DOCUMENTS[root]}, not admission control data, which has to be "
                        f"{_EXPECTED}"
                    )
            if data:
                to_xml(data)

    @override
    async def connect(self) -> None:
        self._connection = await BoardConnection.open(self.address, self.settings.connect_timeout_s)
        await self._request_available()
        try:
            await self._wait_for(Answer.AVAILABLE, self.settings.probe_timeout_s)
        except (
            BoardSilentError
        ):  # an older board, or one that serves another client, which accepts connections too
            await self._wait_for_live()
        self._is_newer = not self._protocol.is_pending(Answer.AVAILABLE)
        await self._end_left_over()

    @override
    def refusal(self, taskset: TaskSet) -> str:
        if not self._is_newer:
            return ""
        for task in taskset:
            for name, advice in _NEVER_STARTED_WITH_0.items():
                if not int(task[name]):
                    return f"task {task.id}: {name}: with 0, a newer board never starts the task; {advice}"
        folder = self.settings.binaries
        for name, digest in digests(taskset, folder).items() if folder is not None else ():
            if self._sent_binaries.get(name, digest) != digest:
                return (
                    f"the binary {name!r} was rebuilt after it was sent to {self.address}, which keeps the "
                    "first one; give it another name, or reboot the board"
                )
        return ""

    @override
    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        description = taskset.xml()
        self._stopping = None
        self._protocol.reset_limit()
        self._set_unsolicited_aside()
        await self._send(protocol.command(Command.CLEAR))
        self._is_left_over = False
        await self._wait_until_cleared()
        for admission_control in session_params:
            if admission_control:
                await self._send(
                    protocol.command(Command.OPTIMIZE, protocol.padded(to_xml(admission_control)))
                )
        await self._send(protocol.command(Command.SEND_DESCS, description))
        await self._send_binaries(taskset)
        self._set_unsolicited_aside()
        await self._send(protocol.command(Command.START))
        offsets_s = sum(int(task["offset"]) for task in taskset) / 1000
        self._asleep_until = max(self._asleep_until, time.monotonic()) + offsets_s

    @property
    @override
    def asleep_s(self) -> float:
        """Newer boards sleep through the offsets of all tasks while they obey START, and answer nothing."""
        return max(0.0, self._asleep_until - time.monotonic())

    @override
    async def receive(self, timeout_s: float | None) -> list[bytes]:
        while not (frames := self._protocol.take_frames()):
            if self._stopping is None:
                await self._read(timeout_s)
                await self._end_left_over()
            elif await self._has_stopped(self._stopping):
                self._stopping = None
                return []
        return frames

    @override
    async def stop(self, *, is_finished: bool) -> None:
        """STOP and CLEAR; a newer board is asked to answer after them, so that the end is known."""
        await self._send(protocol.command(Command.STOP) + protocol.command(Command.CLEAR))
        self._protocol.reset_limit()
        timeout_s = self._answer_timeout_s if self._is_newer else self.settings.answer_timeout_s
        self._stopping = _Stopping(timeout_s, is_finished)
        if self._is_newer:
            await self._request_available()

    @override
    async def reboot(self) -> None:
        """Send REBOOT (newer boards); the connection breaks and the binaries are lost."""
        await self._send(protocol.command(Command.REBOOT))

    @override
    async def close(self) -> None:
        """Close the connection; the board continues its task-set until the next CLEAR."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _end_left_over(self) -> None:
        """Have the board forget a task-set that it reports although this client has started none."""
        if self._is_left_over and (self.unsolicited or self._protocol.has_frames):
            self._is_left_over = False
            await self._send(protocol.command(Command.CLEAR))

    async def _request_available(self) -> None:
        self._protocol.expect(Answer.AVAILABLE)
        await self._send(protocol.command(Command.AVAILABLE))

    async def _request_live(self) -> None:
        self._protocol.expect_live()
        await self._send(protocol.command(Command.GET_LIVE))

    async def _wait_until_cleared(self) -> None:
        """Wait for an answer to a command after CLEAR; frames until then are of an earlier task-set."""
        if self._is_newer:
            await self._request_available()
            await self._wait_for(Answer.AVAILABLE, self._answer_timeout_s)
        else:
            await self._request_live()
            await self._wait_until(
                lambda: not self._protocol.is_live_pending, self._answer_timeout_s, "answer to GET_LIVE"
            )

    async def _wait_for_live(self) -> None:
        """Send GET_LIVE, which every generation of boards answers, and wait for any answer."""
        await self._request_live()
        deadline = time.monotonic() + self.settings.answer_timeout_s
        try:
            while not self._protocol.has_spoken:
                await self._read(deadline - time.monotonic())
        except BoardSilentError as error:
            raise BoardSilentError(
                "connected, but the board did not answer: it is serving another client, or is frozen"
            ) from error

    async def _has_stopped(self, stopping: _Stopping) -> bool:
        """Read until frames come or the stop is over: a newer board answers, an older one falls silent."""
        is_over = stopping.is_finished
        if self._is_newer:
            is_over = not self._protocol.is_pending(Answer.AVAILABLE)
        if is_over:
            if self._is_newer:
                self._asleep_until = 0.0
            return True
        left_s = stopping.timeout_s - stopping.waited_s
        if left_s <= 0 and not self._protocol.is_ambiguous:
            expected = "answer" if self._is_newer else "fall silent"
            raise BoardLostError(f"the board did not {expected} within {seconds(stopping.timeout_s)} of STOP")
        self._protocol.check_limit(MAX_BYTES_AFTER_STOP, "after STOP")
        began = time.monotonic()
        try:
            await self._read(left_s if self._is_newer else self.settings.probe_timeout_s)
        except BoardSilentError:
            return not self._is_newer
        finally:
            stopping.waited_s += time.monotonic() - began
        return False

    async def _send_binaries(self, taskset: TaskSet) -> None:
        """Send the binaries that this board has not received over this connection, each after its GO_SEND."""
        folder = self.settings.binaries
        if folder is None:
            return
        current = digests(taskset, folder)
        missing = [name for name in sorted(taskset.binaries()) if self._has_to_send(name, current.get(name))]
        if not missing:
            return
        contents = {name: await asyncio.to_thread(read_binary, folder / name) for name in missing}
        await self._send(protocol.command(Command.SEND_BINARIES) + protocol.WORD.pack(len(missing)))
        for name, content in contents.items():
            self._protocol.expect(Answer.GO_SEND)
            await self._wait_for(Answer.GO_SEND, self._answer_timeout_s)
            await self._send(protocol.binary(name, content))
        for name, content in contents.items():
            self._sent_binaries[name] = hashlib.sha256(content).hexdigest()

    def _has_to_send(self, name: str, digest: str | None) -> bool:
        """Whether the board does not hold a binary, or another one; `digest` is None if it is unreadable."""
        sent = self._sent_binaries.get(name)
        return sent is None or digest not in (None, sent)

    async def _wait_for(self, answer: Answer, timeout_s: float) -> None:
        """Read until an expected answer has come; frames that come meanwhile are unsolicited."""
        await self._wait_until(lambda: not self._protocol.is_pending(answer), timeout_s, answer.name)

    async def _wait_until(self, has_come: Callable[[], bool], timeout_s: float, expected: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not has_come():
            try:
                await self._read(deadline - time.monotonic())
            except BoardSilentError as error:
                raise BoardSilentError(f"the board sent no {expected} within {seconds(timeout_s)}") from error
            finally:
                self._set_unsolicited_aside()
            self._protocol.check_limit(MAX_UNSOLICITED_BYTES, f"while {expected} was expected")

    def _set_unsolicited_aside(self) -> None:
        self.unsolicited += self._protocol.take_frames()

    async def _read(self, timeout_s: float | None) -> None:
        """Read once, or note the silence."""
        wait_s = self._protocol.wait_s(time.monotonic(), timeout_s)
        try:  # an ambiguous word that is resolved too early is corrected later, so it needs no grace
            data = await self._connected.read(wait_s, has_grace=not self._protocol.is_ambiguous)
        except TimeoutError:
            self._protocol.time_out(wait_s)
        else:
            self._protocol.feed(data, time.monotonic())

    async def _send(self, data: bytes) -> None:
        await self._connected.write(data, self.settings.answer_timeout_s)

    @property
    def _answer_timeout_s(self) -> float:
        return self.settings.answer_timeout_s + self.asleep_s

    @property
    def _connected(self) -> BoardConnection:
        if self._connection is None:
            raise BoardLostError("not connected")
        return self._connection
