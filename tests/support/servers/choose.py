"""Which RabbitMQ and which PostgreSQL the tests use: docs/decisions/0002-servers-of-the-tests.md."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.support.servers.chromium import given_chromium, installed_chromium
from tests.support.servers.debian import install_error
from tests.support.servers.docker import (
    POSTGRES_IMAGE,
    RABBITMQ_IMAGE,
    docker_error,
    docker_postgres,
    docker_rabbitmq,
)
from tests.support.servers.postgres import Postgres, installed_postgres
from tests.support.servers.rabbitmq import Broker, installed_rabbitmq

S = TypeVar("S")


class NoServerError(Exception):
    """No server can be had; one line says what to install."""


@dataclass(frozen=True)
class Given:
    """A server that somebody else starts and stops."""

    url: str
    management_url: str = ""

    def start(self) -> None:
        """It runs."""

    def close(self) -> None:
        """It goes on running."""


def find_broker() -> Callable[[], Broker | Given]:
    """What makes the broker, not started yet; installs it if it has to and may.

    Raises:
        NoServerError: there is none to be had.
    """
    if url := os.environ.get("TASKGEN_TEST_AMQP_URL"):
        return partial(Given, url, os.environ.get("TASKGEN_TEST_MANAGEMENT_URL") or _management_of(url))
    remedy = "install Debian's package rabbitmq-server, or set TASKGEN_TEST_AMQP_URL"
    return _find(installed_rabbitmq, docker_rabbitmq, RABBITMQ_IMAGE, "rabbitmq-server", remedy)


def find_postgres() -> Callable[[], Postgres | Given]:
    """What makes the PostgreSQL, not started yet; installs it if it has to and may.

    Raises:
        NoServerError: there is none to be had.
    """
    if url := os.environ.get("TASKGEN_TEST_POSTGRES_DSN"):
        return partial(Given, url)
    remedy = "install Debian's package postgresql, or set TASKGEN_TEST_POSTGRES_DSN"
    return _find(installed_postgres, docker_postgres, POSTGRES_IMAGE, "postgresql", remedy)


def find_chromium() -> Path:
    """The browser; installs it if it has to and may.

    Raises:
        NoServerError: there is none to be had.
    """
    if (found := given_chromium() or installed_chromium()) is not None:
        return found
    not_installed = install_error("chromium")
    if (found := installed_chromium()) is not None:
        return found
    remedy = "install Debian's package chromium, or set TASKGEN_TEST_CHROMIUM"
    raise NoServerError(f"no Chromium: {remedy} ({not_installed or 'it has no browser'})")


def miss(reason: NoServerError) -> NoReturn:
    """Skip the test, or fail it on CI, where nobody reads what was skipped."""
    if os.environ.get("CI"):
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


def _find(
    installed: Callable[[], Callable[[], S] | None],
    in_docker: Callable[[], S],
    image: str,
    package: str,
    remedy: str,
) -> Callable[[], S]:
    if (private := installed()) is not None:
        return private
    if (no_docker := docker_error(image)) is None:
        return in_docker
    not_installed = install_error(package)
    if (private := installed()) is not None:
        return private
    raise NoServerError(f"no {package}: {remedy} ({no_docker}; {not_installed or 'it has no server'})")


def _management_of(amqp_url: str) -> str:
    """Where the management plugin of a broker listens if nobody moved it."""
    parts = urlsplit(amqp_url)
    return f"http://{parts.username or 'guest'}:{parts.password or 'guest'}@{parts.hostname}:15672"
