"""A TCP connection to a board: system errors become `BoardLostError`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeVar

from taskgen.boards.address import Address
from taskgen.errors import BoardLostError

T = TypeVar("T")

_READ_BYTES: Final = 256 * 1024
_WRITE_BYTES: Final = 256 * 1024
_CLOSE_TIMEOUT_S: Final = 1.0
_GRACE_S: Final = 0.05


class BoardConnection:
    """Reads and writes bytes with time limits; `open` creates one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: Address, timeout_s: float) -> Self:
        """Connect.

        Raises:
            BoardLostError: the connection was refused or not accepted in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(*address)
        except TimeoutError as error:
            raise BoardLostError(f"no connection within {timeout_s:g} s") from error
        except OSError as error:
            raise BoardLostError(f"no connection: {error.strerror or error}") from error
        peer: socket.socket = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return cls(reader, writer)

    async def read(self, timeout_s: float | None, *, has_grace: bool = True) -> bytes:
        """Return at least one byte, or none if the board has closed the connection.

        Args:
            timeout_s: None: wait indefinitely.
            has_grace: see `with_timeout`; False if data that arrives slightly too late does no harm.

        Raises:
            TimeoutError: nothing arrived in time.
            BoardLostError: the connection broke.
        """
        try:
            if has_grace:
                return await with_timeout(timeout_s, lambda: self._reader.read(_READ_BYTES))
            async with asyncio.timeout(timeout_s):
                return await self._reader.read(_READ_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise BoardLostError(f"connection broke: {error.strerror or error}") from error

    async def write(self, data: bytes, timeout_s: float) -> None:
        """Send all data.

        Args:
            data: of any length; it is sent in pieces of 256 KiB.
            timeout_s: applies to each piece.

        Raises:
            BoardLostError: the board accepted nothing in time, or the connection broke.
        """
        try:
            for begin in range(0, len(data), _WRITE_BYTES):
                self._writer.write(data[begin : begin + _WRITE_BYTES])
                await with_timeout(timeout_s, self._writer.drain)
        except TimeoutError as error:
            raise BoardLostError(f"the board accepted no data for {timeout_s:g} s") from error
        except OSError as error:
            raise BoardLostError(f"connection broke: {error.strerror or error}") from error

    async def close(self) -> None:
        """Close the connection; abort it if that takes too long."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


async def with_timeout(limit_s: float | None, step: Callable[[], Awaitable[T]]) -> T:
    """Await a step; when its time is up, try once more for a moment.

    A process that was suspended (Ctrl-Z, a sleeping machine) finds the clock far ahead and, at the same time,
    what arrived meanwhile in its sockets. Its pause must not count as the board's silence.

    Args:
        limit_s: None: no limit; 0 or less: only what is available at once, without a second try.
        step: can be cancelled and called again without loss.

    Raises:
        TimeoutError: the step did not complete.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await step()
    except TimeoutError:
        if limit_s is None or limit_s <= 0:
            raise
    async with asyncio.timeout(_GRACE_S):
        return await step()
