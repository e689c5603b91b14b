"""One client's connection, seen from the board: it obeys commands."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from taskgen.boards.protocol import NAME_BYTES, WORD, Answer, Command
from taskgen.event_type import EventType
from taskgen.simulation import frames
from taskgen.simulation.description import read_tasks
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.frames import Attributes
from taskgen.simulation.periodic_task import PeriodicTask, set_up_in_turn
from taskgen.simulation.reporter import Host, Reporter
from taskgen.simulation.transmission import Transmission

_CLEAR_MS: Final = 500
"""Real boards take 0.5 to 2 s."""
_MAX_PAYLOAD: Final = 64 * 1024 * 1024
_ANY_TASK: Final = "0"

_log = logging.getLogger(__name__)


class Conversation:
    """Serves one client until either side closes the connection, then stops and forgets its tasks."""

    def __init__(self, board: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._board = board
        self._reader = reader
        self._writer = writer
        random = Random(f"{board.seed}/{board.connections}")  # noqa: S311 - where to split, no secret
        self._out = Transmission(writer, board.faults, board.tell, random)
        self._tasks: list[PeriodicTask] = []
        self._reporter = Reporter(board, self._out)
        self._obey: dict[int, Callable[[], Awaitable[None]]] = {
            Command.SEND_DESCS: self._add_tasks,
            Command.CLEAR: self._clear,
            Command.SEND_BINARIES: self._take_binaries,
            Command.START: self._start,
            Command.STOP: self._stop,
            Command.GET_LIVE: self._tell_live,
        }
        if board.dialect is not Dialect.NEWEST:
            self._obey[Command.OPTIMIZE] = self._optimize
        if board.dialect is Dialect.OLD:
            self._obey[Command.GET_PROFILE] = self._tell_profile
        else:
            self._obey |= {Command.AVAILABLE: self._tell_available, Command.REBOOT: self._reboot}

    async def hold(self) -> None:
        """Obey until the connection is closed."""
        is_following = True
        try:
            while not self._writer.is_closing():
                word = await self._read_word()
                if word in self._obey:
                    is_following = True
                    await self._obey[word]()
                elif is_following:  # behind an unknown command each word of its data is one
                    is_following = False
                    _log.warning("%s: ignored from the unknown word %#x on", self._board.address, word)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            _log.debug("%s: the client is gone: %s", self._board.address, error)
        finally:
            await self._reporter.end()

    async def _add_tasks(self) -> None:
        document = await self._read_payload()
        try:
            tasks = read_tasks(document)
        except ValueError as error:
            _log.warning("%s: ignored a task-set that is none: %s", self._board.address, error)
            return
        self._tasks += tasks

    async def _clear(self) -> None:
        await self._stop()
        self._reporter.make_up_late(str(self._tasks[-1].id) if self._tasks else _ANY_TASK)
        self._tasks = []
        await asyncio.sleep(self._board.clock.seconds(_CLEAR_MS))

    async def _take_binaries(self) -> None:
        for _ in range(await self._read_word()):
            await self._reporter.tell_late()
            await self._out.answer(Answer.GO_SEND)
            name = (await self._reader.readexactly(NAME_BYTES)).split(b"\0", 1)[0]
            self._keep_binary(name.decode("ascii", "replace"), await self._read_payload())

    def _keep_binary(self, name: str, content: bytes) -> None:
        held, sent = self._board.binaries.get(name), hashlib.sha256(content).hexdigest()
        if held is None or self._board.dialect is Dialect.OLD:
            self._board.binaries[name] = sent
        elif held != sent:
            _log.warning("%s: kept the former binary %r: it has one of this name", self._board.address, name)

    async def _start(self) -> None:
        """Set the tasks up; the newest boards obey nothing else until that is done."""
        if self._board.dialect is not Dialect.NEWEST:
            self._reporter.start(self._tasks)
            return
        self._reporter.start(set_up_in_turn(self._tasks))
        await asyncio.sleep(self._board.clock.seconds(sum(task.offset for task in self._tasks)))

    async def _stop(self) -> None:
        await self._reporter.kill()

    async def _optimize(self) -> None:
        """The goal changes nothing in a simulated schedule."""
        await self._read_payload()

    async def _tell_profile(self) -> None:
        event = self._reporter.event(EventType.EXTERNAL, "-1")
        await self._out.send(frames.snapshot(event, self._states()), [event], run=self._board.runs)

    async def _tell_live(self) -> None:
        await self._out.send(frames.live(self._states()))

    async def _tell_available(self) -> None:
        await self._out.answer(Answer.AVAILABLE)

    async def _reboot(self) -> None:
        await self._reporter.end()
        self._board.reboot()
        self._writer.close()

    def _states(self) -> list[Attributes]:
        ids = [str(task.id) for task in self._tasks]
        return [{"id": one, "state": "running" if self._reporter.is_running(one) else "idle"} for one in ids]

    async def _read_word(self) -> int:
        (word,) = WORD.unpack(await self._reader.readexactly(WORD.size))
        return int(word)

    async def _read_payload(self) -> bytes:
        size = await self._read_word()
        if size > _MAX_PAYLOAD:
            raise ConnectionAbortedError(f"a payload of {size} bytes")
        return await self._reader.readexactly(size)
