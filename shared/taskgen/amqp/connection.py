"""A connection to RabbitMQ and its channels, for asyncio; pika's errors become ours here and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError

from taskgen.amqp.channel import Channel, resolve
from taskgen.amqp.refusals import translated
from taskgen.amqp.urls import parameters
from taskgen.errors import BrokerError, BrokerUnavailableError
from taskgen.redaction import without_password

_OPEN_S: Final = 15
_CLOSE_S: Final = 5


class Connection:
    """An open connection; made by `connection`."""

    def __init__(self, raw: AsyncioConnection, lost: asyncio.Future[None]) -> None:
        self._raw = raw
        self.lost = lost
        """Gets a `BrokerError` when the connection breaks."""

    async def channel(self, *, confirms: bool = False, prefetch: int = 0) -> Channel:
        """Open a channel.

        Args:
            confirms: whether the broker confirms what is published on it.
            prefetch: how many messages a consumer may hold unacknowledged.
        """
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self._raw.channel(on_open_callback=partial(resolve, opened))
        except AMQPError as error:
            raise BrokerUnavailableError(f"the connection to the broker is closed: {error!r}") from error
        await asyncio.wait({opened, self.lost}, timeout=_OPEN_S, return_when=asyncio.FIRST_COMPLETED)
        if self.lost.done():
            await self.lost
        if not opened.done():
            raise BrokerUnavailableError(f"the broker opened no channel within {_OPEN_S} s")
        channel = Channel(opened.result(), self.lost)
        if prefetch:
            await channel.set_prefetch(prefetch)
        if confirms:
            await channel.confirm()
        return channel


class _PikaConnection(AsyncioConnection):  # type: ignore[misc]  # pika has no types here
    """Pika's connection, whose end can be asked for while it is being opened."""

    def _on_connection_workflow_done(self, result: Any) -> None:  # noqa: ANN401 - a connection or an error
        # Pika gives the class of the error then, takes it for a connection, and fails in the event loop.
        super()._on_connection_workflow_done(result() if isinstance(result, type) else result)


@asynccontextmanager
async def connection(url: str, name: str) -> AsyncIterator[Connection]:
    """A connection while the context is open.

    Args:
        url: `amqp://user:password@host:5672/vhost`.
        name: shown by the broker's management.

    Raises:
        BrokerUnavailableError: no broker answers there now.
        CredentialsError: the broker does not want this user.
        SettingsError: the URL cannot be understood.
    """
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[AsyncioConnection] = loop.create_future()
    lost: asyncio.Future[None] = loop.create_future()
    lost.add_done_callback(_mark_seen)

    def end(_: object, error: BaseException) -> None:
        _fail(opened, translated(error, url))
        _fail(lost, translated(error, url))

    raw = _PikaConnection(
        parameters(url, name),
        on_open_callback=partial(resolve, opened),
        on_open_error_callback=end,
        on_close_callback=end,
        custom_ioloop=loop,
    )
    try:
        yield Connection(await _in_time(opened, url), lost)
    finally:
        if not (raw.is_closed or raw.is_closing):
            raw.close()
            await asyncio.wait({lost}, timeout=_CLOSE_S)


async def _in_time(opened: asyncio.Future[AsyncioConnection], url: str) -> AsyncioConnection:
    try:
        async with asyncio.timeout(_OPEN_S):
            return await opened
    except TimeoutError as error:
        raise BrokerUnavailableError(f"{without_password(url)}: no answer within {_OPEN_S} s") from error


def _fail(future: asyncio.Future[Any], error: BrokerError) -> None:
    if not future.done():
        future.set_exception(error)


def _mark_seen(future: asyncio.Future[None]) -> None:
    """A broken connection that nobody waits for any longer is no fault."""
    if not future.cancelled():
        future.exception()
