"""Which RabbitMQ and which PostgreSQL the tests use: docs/decisions/0002-servers-of-the-tests.md."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from tests.support.servers.debian import install_error
from tests.support.servers.docker import (
    POSTGRES_IMAGE,
    RABBITMQ_IMAGE,
    DockerPostgres,
    DockerRabbit,
    docker_error,
)
from tests.support.servers.postgres import PostgresBinaries, PrivatePostgres
from tests.support.servers.rabbitmq import PrivateRabbit, RabbitBinaries


class NoServerError(Exception):
    """No server can be had; one line says what to install."""


class Server(Protocol):
    """A server of the tests' own, which a test may stop, kill and start again."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


class Broker(Server, Protocol):
    """A RabbitMQ of the tests' own, with its management plugin."""

    @property
    def management_url(self) -> str: ...
    def ctl(self, *arguments: str) -> str: ...
    def sync(self) -> None: ...


@dataclass(frozen=True)
class Given:
    """A server that somebody else started and stops."""

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
    if (binaries := RabbitBinaries.find()) is not None:
        return partial(PrivateRabbit, binaries)
    if (no_docker := docker_error(RABBITMQ_IMAGE)) is None:
        return DockerRabbit
    not_installed = install_error("rabbitmq-server")
    if (binaries := RabbitBinaries.find()) is not None:
        return partial(PrivateRabbit, binaries)
    raise NoServerError(
        "no RabbitMQ: install Debian's package rabbitmq-server, or set TASKGEN_TEST_AMQP_URL "
        f"({no_docker}; {not_installed or 'the package brought no server'})"
    )


def find_postgres() -> Callable[[], Server | Given]:
    """What makes the PostgreSQL, not started yet; installs it if it has to and may.

    Raises:
        NoServerError: there is none to be had.
    """
    if url := os.environ.get("TASKGEN_TEST_POSTGRES_DSN"):
        return partial(Given, url)
    if (binaries := PostgresBinaries.find()) is not None:
        return partial(PrivatePostgres, binaries)
    if (no_docker := docker_error(POSTGRES_IMAGE)) is None:
        return DockerPostgres
    not_installed = install_error("postgresql")
    if (binaries := PostgresBinaries.find()) is not None:
        return partial(PrivatePostgres, binaries)
    raise NoServerError(
        "no PostgreSQL: install Debian's package postgresql, or set TASKGEN_TEST_POSTGRES_DSN "
        f"({no_docker}; {not_installed or 'the package brought no server'})"
    )


def _management_of(amqp_url: str) -> str:
    """Where the management plugin of a broker listens if nobody moved it."""
    parts = urlsplit(amqp_url)
    return f"http://{parts.username or 'guest'}:{parts.password or 'guest'}@{parts.hostname}:15672"
