"""Shared by all commands that use the broker: its address, and the required extra."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from taskgen.errors import SettingsError
from taskgen.runtime.settings import PREFIX, ServiceSettings, load_settings

if TYPE_CHECKING:
    from taskgen.amqp.connection import Connection

T = TypeVar("T")
AmqpUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="URL of the broker. Default: `$TASKGEN_AMQP_URL`, else guest on this host."
    ),
]
ManagementUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="URL of its management API. Default: `$TASKGEN_MANAGEMENT_URL`, else port 15672 of its host.",
    ),
]


def broker_settings(amqp_url: str | None, management_url: str | None) -> ServiceSettings:
    """Find the broker, by options or the environment.

    Raises:
        SettingsError: a URL is wrong.
    """
    options = {"amqp_url": amqp_url, "management_url": management_url}
    given = {name: url for name, url in options.items() if url}
    try:
        return load_settings(ServiceSettings, **given)
    except SettingsError as error:
        text = str(error)
        for name in given:  # blame the option, not the variable that it overrides
            text = text.replace(f"{PREFIX}{name.upper()}", f"--{name.replace('_', '-')}")
        raise SettingsError(text) from error


def broker_url(given: str | None) -> str:
    """Find the broker's URL, by the option or the environment.

    Raises:
        SettingsError: it is wrong.
    """
    return broker_settings(given, None).amqp_url


@contextmanager
def amqp_extra() -> Iterator[None]:
    """Import modules that need the extra `amqp` within this context.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError("this command needs a broker client; install taskgen-events[amqp]") from error


def ask_broker(given: str | None, command: str, ask: Callable[[Connection], Awaitable[T]]) -> T:
    """Ask the broker something, over a connection of its own; `given` is the option.

    Raises:
        BrokerError: no broker answers, or it refuses.
        SettingsError: the URL is wrong.
    """
    with amqp_extra():
        from taskgen.amqp.connection import connection  # noqa: PLC0415 - needs an extra

    async def work() -> T:
        async with connection(broker_url(given), f"taskgen {command}") as link:
            return await ask(link)

    return asyncio.run(work())
