"""The board's side of one connection: reads commands and executes them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Final

from taskgen.boards.taskloader_protocol import NAME_BYTES, WORD, Answer, Command
from taskgen.event_type import EventType
from taskgen.simulation import frames
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.frame_sender import FrameSender
from taskgen.simulation.frames import Attributes
from taskgen.simulation.periodic_task import read_tasks, with_successive_offsets

if TYPE_CHECKING:
    from taskgen.simulation.simulated_board import SimulatedBoard

_CLEAR_MS: Final = 500
"""How long CLEAR takes; on real boards 0.5 to 2 s."""
_MAX_PAYLOAD: Final = 64 * 1024 * 1024
_ANY_TASK: Final = "0"

_log = logging.getLogger(__name__)


class ClientConnection:
    """Serves one client until either side closes the connection; the board goes on running its tasks."""

    def __init__(
        self, board: SimulatedBoard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._board = board
        self._reader = reader
        self._writer = writer
        random = Random(f"{board.seed}/{board.connections}")  # noqa: S311 - not a secret
        self._out = FrameSender(writer, board.faults, board.record, random)
        self._reporter = board.reporter
        self._reporter.connect(self._out)
        self._commands: dict[int, Callable[[], Awaitable[None]]] = {
            Command.SEND_DESCS: self._add_tasks,
            Command.CLEAR: self._clear,
            Command.SEND_BINARIES: self._receive_binaries,
            Command.START: self._start,
            Command.STOP: self._reporter.kill,
            Command.GET_LIVE: lambda: self._out.send(frames.live(self._states())),
        }
        if board.dialect is not Dialect.NEWEST:
            self._commands[Command.OPTIMIZE] = self._optimize
        if board.dialect is Dialect.OLD:
            self._commands[Command.GET_PROFILE] = self._send_profile
        else:
            self._commands[Command.AVAILABLE] = lambda: self._out.answer(Answer.AVAILABLE)
            self._commands[Command.REBOOT] = self._reboot

    async def serve(self) -> None:
        """Execute commands until the connection is closed."""
        is_in_step = True
        try:
            while not self._writer.is_closing():
                word = await self._read_word()
                if word in self._commands:
                    is_in_step = True
                    await self._commands[word]()
                elif is_in_step:  # real boards interpret every word of an unknown command's data as a command
                    is_in_step = False
                    _log.warning(
                        "%s: ignoring data from the unknown command %#x onwards", self._board.address, word
                    )
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            _log.debug("%s: the client has disconnected: %s", self._board.address, error)

    async def _add_tasks(self) -> None:
        document = await self._read_payload()
        try:
            tasks = read_tasks(document)
        except ValueError as error:
            _log.warning("%s: ignored an invalid task-set: %s", self._board.address, error)
            return
        self._board.tasks += tasks

    async def _clear(self) -> None:
        await self._reporter.kill()
        tasks = self._board.tasks
        self._reporter.invent_late(str(tasks[-1].id) if tasks else _ANY_TASK)
        tasks.clear()
        await asyncio.sleep(self._board.clock.seconds(_CLEAR_MS))

    async def _receive_binaries(self) -> None:
        for _ in range(await self._read_word()):
            await self._reporter.send_late()
            await self._out.answer(Answer.GO_SEND)
            name = (await self._reader.readexactly(NAME_BYTES)).split(b"\0", 1)[0]
            self._store_binary(name.decode("ascii", "replace"), await self._read_payload())

    def _store_binary(self, name: str, content: bytes) -> None:
        stored, sent = self._board.binaries.get(name), hashlib.sha256(content).hexdigest()
        if stored is None or self._board.dialect is Dialect.OLD:
            self._board.binaries[name] = sent
        elif stored != sent:
            _log.warning("%s: kept the earlier binary named %r", self._board.address, name)

    async def _start(self) -> None:
        """Set the tasks up; the newest boards execute no other command until that is done."""
        if self._board.dialect is not Dialect.NEWEST:
            self._reporter.start(self._board.tasks)
            return
        self._reporter.start(with_successive_offsets(self._board.tasks))
        await asyncio.sleep(self._board.clock.seconds(sum(task.offset for task in self._board.tasks)))

    async def _optimize(self) -> None:
        """Ignore the optimisation goal: it does not change a simulated schedule."""
        await self._read_payload()

    async def _send_profile(self) -> None:
        event = self._reporter.event(EventType.EXTERNAL, "-1")
        await self._out.send(frames.snapshot(event, self._states()), [event], run=self._board.runs)

    async def _reboot(self) -> None:
        await self._board.reboot()
        self._writer.close()

    def _states(self) -> list[Attributes]:
        ids = [str(task.id) for task in self._board.tasks]
        return [{"id": one, "state": "running" if self._reporter.is_running(one) else "idle"} for one in ids]

    async def _read_word(self) -> int:
        (word,) = WORD.unpack(await self._reader.readexactly(WORD.size))
        return int(word)

    async def _read_payload(self) -> bytes:
        size = await self._read_word()
        if size > _MAX_PAYLOAD:
            raise ConnectionAbortedError(f"a payload of {size} bytes")
        return await self._reader.readexactly(size)
