"""What the commands that talk to the broker have in common: its address, and the extra that they need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from taskgen.errors import SettingsError
from taskgen.runtime.settings import PREFIX, ServiceSettings, load_settings

AmqpUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The broker; else $TASKGEN_AMQP_URL, else guest on this machine."),
]
ManagementUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Its management API; else $TASKGEN_MANAGEMENT_URL, else its port 15672."
    ),
]


def broker_settings(amqp_url: str | None, management_url: str | None) -> ServiceSettings:
    """Where the broker is, from options or the environment.

    Raises:
        SettingsError: a URL is wrong.
    """
    options = {"amqp_url": amqp_url, "management_url": management_url}
    given = {name: url for name, url in options.items() if url}
    try:
        return load_settings(ServiceSettings, **given)
    except SettingsError as error:
        text = str(error)
        for name in given:  # what was typed is to blame, not the variable that would count without it
            text = text.replace(f"{PREFIX}{name.upper()}", f"--{name.replace('_', '-')}")
        raise SettingsError(text) from error


def broker_url(given: str | None) -> str:
    """The broker's URL, from the option or the environment.

    Raises:
        SettingsError: it is wrong.
    """
    return broker_settings(given, None).amqp_url


@contextmanager
def amqp_extra() -> Iterator[None]:
    """Import what needs the extra `amqp` in here.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError("to talk to a broker install taskgen-events[amqp]") from error
