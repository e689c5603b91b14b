"""A simulated board: a TCP server that serves one client at a time, as real boards do."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypedDict

from taskgen.errors import AddressError, SettingsError
from taskgen.simulation.client_connection import ClientConnection
from taskgen.simulation.clock import Clock
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Faults
from taskgen.simulation.frame_sender import Events
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.run_reporter import RunReporter
from taskgen.simulation.truth import EARLIER_CLIENT, Truth

_BACKLOG: Final = 16
_ERROR_PAUSE_S: Final = 0.2
_MAX_UPTIME_MS: Final = 10_000_000
_MAX_CORES: Final = 256
_CLOCK_BITS: Final = (32, 64)

_log = logging.getLogger(__name__)


class SimulatedBoard:
    """An asynchronous context manager: while it is open the board listens at `address`.

    It serves one connection at a time; others wait in the system's backlog. Binaries, clock and tasks outlive
    a connection: a task-set runs on without its client, and the next client receives the rest, until STOP or
    CLEAR.

    Args:
        host: an address of this machine.
        port: 0: any free port.
        speed: how much faster than the host's clock the board's clock runs.
        dialect: a `Dialect`: `old`, `new` or `newest`.
        faults: names of `Fault`s.
        truth: the file that `Truth` appends to; None: no file.
        seed: varies run times, the clock at the start, and when faults strike.
        cores: how many cores it has.
        clock_start: ms since boot when the board is opened; None: derived from the seed.
        clock_bits: 32 or 64; time stamps wrap there.

    Raises:
        SettingsError: a value is out of range, or a fault or dialect is unknown; when opened: the truth file
            cannot be written.
        AddressError: when opened: it cannot listen at this address.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        speed: float = 1.0,
        dialect: str = Dialect.NEW,
        faults: Iterable[str] = (),
        truth: Path | None = None,
        seed: int = 0,
        cores: int = 2,
        clock_start: int | None = None,
        clock_bits: int = 64,
    ) -> None:
        _check(speed, cores, clock_start, clock_bits)
        self.address = f"{host}:{port}"
        """`host:port`; the actual port once the board is open."""
        self.speed = speed
        self.dialect = Dialect(dialect)
        self.faults = Faults(faults, seed)
        self.seed = seed
        self.cores = cores
        self.binaries: dict[str, str] = {}
        """The SHA-256 of each stored binary, by its name."""
        self.connections = 0
        """Number of connections served so far."""
        self.runs = 0
        """Number of task-sets started so far."""
        self.tasks: list[PeriodicTask] = []
        """The tasks that clients have sent since the last CLEAR."""
        self.reporter = RunReporter(self)
        """Runs them, and reports what they do."""
        self._run_connection = 0
        self._place = (host, port)
        self._truth = Truth(truth)
        start = _uptime_ms(seed) if clock_start is None else clock_start
        self.clock = Clock(start, speed, clock_bits)
        """Its own clock, in ms since its boot."""

    async def __aenter__(self) -> Self:
        self._truth.begin()
        self._socket = _listen(*self._place)
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._serving = asyncio.create_task(self._serve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._serving.cancel()
        with suppress(asyncio.CancelledError):
            await self._serving
        self._socket.close()
        await self.reporter.end()

    def count_run(self) -> None:
        """A client has started the tasks."""
        self.runs += 1
        self._run_connection = self.connections

    def record(self, events: Events, **more: str | int) -> None:
        """Append events that were sent to the truth file."""
        if "destroyed" not in more and self._run_connection not in (0, self.connections):
            more.setdefault("late", EARLIER_CLIENT)
        self._truth.record(events, board=self.address, connection=self.connections, **more)

    async def reboot(self) -> None:
        """Forget tasks and binaries, and restart the clock at 0."""
        await self.reporter.reboot()
        self.tasks.clear()
        self.binaries.clear()
        self.clock.reboot()

    async def _serve(self) -> None:
        while True:
            try:
                await self._serve_one()
            except OSError as error:  # such as too many open files; this may be temporary, so continue
                _log.error("%s: lost a connection: %s", self.address, error)
                await asyncio.sleep(_ERROR_PAUSE_S)

    async def _serve_one(self) -> None:
        connection = await _accept(self._socket)
        self.connections += 1
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await ClientConnection(self, reader, writer).serve()
        finally:
            await _close(writer)


async def _accept(listening: socket.socket) -> socket.socket:
    """Return the next connection; unlike `sock_accept`, a cancelled call has accepted none."""
    loop = asyncio.get_running_loop()
    while True:
        readable = asyncio.Event()
        loop.add_reader(listening, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(listening)
        with suppress(BlockingIOError):  # that client has gone
            return listening.accept()[0]


async def _close(writer: asyncio.StreamWriter) -> None:
    """Abort, unless the board itself is closing the connection: then send the remaining data first."""
    if not writer.is_closing():
        writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise AddressError(f"cannot listen at {host}:{port}: {os.strerror(error.errno or 0)}") from error
    listening.setblocking(False)
    return listening


def _uptime_ms(seed: int) -> int:
    return zlib.crc32(f"uptime/{seed}".encode()) % _MAX_UPTIME_MS


def _check(speed: float, cores: int, clock_start: int | None, clock_bits: int) -> None:
    if not 0 < speed < float("inf"):
        raise SettingsError(
            f"speed: {speed} is not a speed; write a positive number; 1 is the speed of real boards"
        )
    if not 1 <= cores <= _MAX_CORES:
        raise SettingsError(f"cores: {cores} is out of range; write 1 to {_MAX_CORES}")
    if clock_start is not None and clock_start < 0:
        raise SettingsError(f"clock_start: {clock_start} is negative; write 0 or more")
    if clock_bits not in _CLOCK_BITS:
        raise SettingsError(f"clock_bits: {clock_bits} is not valid; write 32 or 64")


class SimulatedBoardSettings(TypedDict, total=False):
    """The keywords of `SimulatedBoard` that many boards can share."""

    speed: float
    dialect: str
    faults: Iterable[str]
    truth: Path | None
    cores: int
    clock_start: int | None
    clock_bits: int
