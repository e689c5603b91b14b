"""Serves /healthz and /metrics in the service's own loop, so that a hanging service does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from taskgen.errors import SettingsError
from taskgen.runtime.health import Health

_PATIENCE_S: Final = 10
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON_TYPE: Final = "application/json"


@asynccontextmanager
async def served(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context is open; yields the bound port.

    Raises:
        SettingsError: the address cannot be bound.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                writer.write(_response(health, await _path(reader)))
                await writer.drain()
        except (ValueError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has gone, or does not speak HTTP
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port)
    except OSError as error:
        raise SettingsError(
            f"TASKGEN_HTTP_HOST and TASKGEN_HTTP_PORT: {host}:{port} cannot be bound: {error.strerror}"
        ) from error
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def _path(reader: asyncio.StreamReader) -> str:
    """Read the head of a request; returns its path."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    return path if method == "GET" else ""


def _response(health: Health, path: str) -> bytes:
    if path == "/healthz":
        status = HTTPStatus.OK if health.is_ok else HTTPStatus.SERVICE_UNAVAILABLE
        return _message(status, _JSON_TYPE, health.text())
    if path == "/metrics":
        return _message(HTTPStatus.OK, _METRICS_TYPE, health.metrics.text())
    return _message(HTTPStatus.NOT_FOUND, "text/plain", b"there are /healthz and /metrics\n")


def _message(status: HTTPStatus, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
