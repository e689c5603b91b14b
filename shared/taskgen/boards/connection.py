"""A TCP connection to a board; what the system says of it becomes a `BoardLostError`."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Self

from taskgen.boards.address import Address
from taskgen.boards.timeouts import with_timeout
from taskgen.errors import BoardLostError

_READ_BYTES: Final = 256 * 1024
_WRITE_BYTES: Final = 256 * 1024


class Line:
    """What a session says and hears its board through; `open` makes one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: Address, timeout_s: float) -> Self:
        """Connect.

        Raises:
            BoardLostError: nobody accepts in time.
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

    async def read(self, timeout_s: float | None, *, looks_twice: bool = True) -> bytes:
        """What has come, at least one byte; none where the board has closed the connection.

        Args:
            timeout_s: None: for ever.
            looks_twice: see `within`; False where what comes a moment too late does no harm.

        Raises:
            TimeoutError: nothing came in time.
            BoardLostError: the connection broke.
        """
        try:
            if looks_twice:
                return await with_timeout(timeout_s, lambda: self._reader.read(_READ_BYTES))
            async with asyncio.timeout(timeout_s):
                return await self._reader.read(_READ_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise BoardLostError(f"connection broke: {error.strerror or error}") from error

    async def write(self, data: bytes, timeout_s: float) -> None:
        """Send all of it.

        Args:
            data: any number of bytes.
            timeout_s: for each piece of it to be taken.

        Raises:
            BoardLostError: the board took nothing in time, or the connection broke.
        """
        try:
            for begin in range(0, len(data), _WRITE_BYTES):
                self._writer.write(data[begin : begin + _WRITE_BYTES])
                await with_timeout(timeout_s, self._writer.drain)
        except TimeoutError as error:
            raise BoardLostError(f"the board took no data for {timeout_s:g} s") from error
        except OSError as error:
            raise BoardLostError(f"connection broke: {error.strerror or error}") from error

    async def close(self) -> None:
        """Close it, if need be without a farewell."""
        self._writer.close()
        try:
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()
