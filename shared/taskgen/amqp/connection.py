"""A connection to RabbitMQ, for asyncio; only this module and `channel` translate pika's errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from taskgen.amqp.channel import Channel, resolve
from taskgen.errors import BrokerError, BrokerUnavailableError, CredentialsError, SettingsError
from taskgen.redaction import without_password

_OPEN_S: Final = 15
_CLOSE_S: Final = 5
_HEARTBEAT_S: Final = 20
_BLOCKED_S: Final = 600
"""How long publishers wait for a broker that blocks them because it is short of memory or disk."""
_ODD: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError, SyntaxError)
"""Errors of pika for invalid options, which it evaluates as Python."""
_REFUSED: Final = frozenset({403, 530})
"""Reply codes for a user who may not connect, or not to this virtual host."""
_FULL: Final = re.compile(r"connection limit|has reached the")
"""In the text of a 530 for too many connections or channels, which may be over later."""
_REPLY: Final = re.compile(r"ConnectionClosedByBroker: \((\d+)\) (.*)", re.DOTALL)
"""The broker's reply in the text of pika's `Probable...Error`."""

_PROBABLE_ERRORS = (ProbableAccessDeniedError, ProbableAuthenticationError)
"""The connection ended during the handshake, because of a refusal or a failure."""


class Connection:
    """An open connection; `connection` makes it."""

    def __init__(self, raw: AsyncioConnection, lost: asyncio.Future[None]) -> None:
        self._raw = raw
        self.lost = lost
        """A future that fails with `BrokerError` when the connection breaks."""

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
            raise BrokerUnavailableError(f"the broker did not open a channel within {_OPEN_S} s")
        channel = Channel(opened.result(), self.lost)
        if prefetch:
            await channel.set_prefetch(prefetch)
        if confirms:
            await channel.confirm()
        return channel


class _PikaConnection(AsyncioConnection):  # type: ignore[misc]  # pika has no types here
    """Pika's connection, corrected so that it can be closed while it is being opened."""

    def _on_connection_workflow_done(self, result: Any) -> None:  # noqa: ANN401 - a connection or an error
        # In this case pika passes the class of the error, takes it for a connection, and fails in the loop.
        super()._on_connection_workflow_done(result() if isinstance(result, type) else result)


@asynccontextmanager
async def connection(url: str, name: str) -> AsyncIterator[Connection]:
    """Open a connection; leaving the context closes it.

    Args:
        url: `amqp://user:password@host:5672/vhost`.
        name: shown by the broker's management.

    Raises:
        BrokerUnavailableError: no broker answers.
        CredentialsError: the broker refuses this user.
        SettingsError: the URL is invalid.
    """
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[AsyncioConnection] = loop.create_future()
    lost: asyncio.Future[None] = loop.create_future()
    lost.add_done_callback(_mark_seen)

    def end(_: object, error: BaseException) -> None:
        _fail(opened, _translated(error, url))
        _fail(lost, _translated(error, url))

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
    """Mark the error as seen: a broken connection may have no waiter left."""
    if not future.cancelled():
        future.exception()


def parameters(url: str, name: str) -> pika.URLParameters:
    """Pika's parameters for a connection of this name.

    Raises:
        SettingsError: the URL is invalid, or a file that it names cannot be read.
    """
    try:
        found = pika.URLParameters(url)
    except OSError as error:  # ssl.SSLError is one
        reason = f"[Errno {error.errno}] {error.strerror}"  # without quoting the options
        raise SettingsError(f"{without_password(url)}: invalid ssl_options: {reason}") from error
    except _ODD as error:
        raise SettingsError(
            f"{without_password(url)}: {_fault(error)}; write amqp://user:password@host:5672/vhost"
        ) from error
    found.heartbeat = _HEARTBEAT_S
    found.blocked_connection_timeout = _BLOCKED_S
    found.client_properties = {"connection_name": name}
    return found


def check_broker_url(url: str) -> None:
    """Check a broker's URL.

    Raises:
        SettingsError: it is invalid.
    """
    parameters(url, "")


def _fault(error: Exception) -> str:
    """Describe what is wrong with the options, without quoting them: they may contain a password."""
    return error.msg if isinstance(error, SyntaxError) else "its options (?...) are invalid"


def _translated(error: BaseException, url: str) -> BrokerError:
    """Translate the error with which a connection to `url` ended or failed to open."""
    code, text = _reply(error)
    is_refused = code in _REFUSED and not _FULL.search(text)
    where = without_password(url)
    if is_refused or isinstance(error, AuthenticationError):
        return CredentialsError(
            f"the broker refused {where}: check user, password and virtual host ({error})"
        )
    cause = str(error) if isinstance(error, _PROBABLE_ERRORS) else repr(_cause(error))
    return BrokerUnavailableError(f"no connection to the broker {where}: {cause}")


def _reply(error: BaseException) -> tuple[int, str]:
    """The code and text with which the broker closed it; 0 and an empty text if it did not."""
    if isinstance(error, ConnectionClosedByBroker):
        return error.reply_code, error.reply_text
    found = _REPLY.match(str(error)) if isinstance(error, _PROBABLE_ERRORS) else None
    return (int(found[1]), found[2]) if found else (0, "")


def _cause(error: BaseException) -> BaseException:
    """The innermost error of those that pika wraps around each other."""
    while inner := [
        one for one in getattr(error, "exceptions", error.args) if isinstance(one, BaseException)
    ]:
        error = inner[-1]
    return error
