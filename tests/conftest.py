"""Fixtures of the whole test suite: above all the real servers, started when the first test asks."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.support.restricted_lab import Restricted
from tests.support.servers.choose import Given, NoServerError, find_broker, find_chromium, find_postgres, miss
from tests.support.servers.management import Management
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import Broker

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest_plugins = ["tests.support.documented_target"]

# The fixture that each of the public ones comes from, and what finds its server.
_FINDERS: dict[str, Callable[[], Any]] = {
    "broker_server": find_broker,
    "chromium": find_chromium,
    "postgres_server": find_postgres,
}
_FOUND = pytest.StashKey[dict[str, Any]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that `-m "not servers"` leaves it out."""
    for item in items:
        if _FINDERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the servers now: to install or pull one may take longer than a test has."""
    names = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    found = session.config.stash.setdefault(_FOUND, {})
    for name in _FINDERS.keys() & names if not session.config.option.collectonly else ():
        try:
            found[name] = _FINDERS[name]()
        except NoServerError as error:
            found[name] = error


def _found(config: pytest.Config, name: str) -> Any:
    found = config.stash[_FOUND][name]
    if isinstance(found, NoServerError):
        miss(found)
    return found


def _started(config: pytest.Config, name: str) -> Iterator[Any]:
    with closing(_found(config, name)()) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Path:
    """Path of the browser."""
    return Path(_found(pytestconfig, "chromium"))


@pytest.fixture
def page(chromium: Path) -> Iterator["Page"]:
    """An empty page of a headless browser that reaches nothing but 127.0.0.1."""
    from tests.support.browser import open_page  # noqa: PLC0415 - takes a third of a second

    with open_page(chromium) as opened:
        yield opened


@pytest.fixture(scope="session")
def broker_server(pytestconfig: pytest.Config) -> Iterator[Broker | Given]:
    """The session's RabbitMQ, whoever runs it."""
    yield from _started(pytestconfig, "broker_server")


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[Postgres | Given]:
    """The session's PostgreSQL, whoever runs it."""
    yield from _started(pytestconfig, "postgres_server")


@pytest.fixture(scope="session")
def amqp_url(broker_server: Broker | Given) -> str:
    """URL of the broker's first virtual host, which all tests share: prefer `amqp_vhost_url`."""
    return broker_server.url


@pytest.fixture(scope="session")
def management_url(broker_server: Broker | Given) -> str:
    """URL of the broker's management API, with user and password."""
    return broker_server.management_url


@pytest.fixture(scope="session")
def postgres_dsn(postgres_server: Postgres | Given) -> str:
    """URL of the server's maintenance database: prefer `postgres_database`."""
    return postgres_server.url


@pytest.fixture
def broker(broker_server: Broker | Given) -> Iterator[Broker]:
    """The broker, to `stop()`, `kill()` and `start()`; it runs again when the test has ended."""
    if isinstance(broker_server, Given):
        pytest.skip("needs a broker that it may stop: unset TASKGEN_TEST_AMQP_URL")
    yield broker_server
    broker_server.start()


@pytest.fixture
def postgres(postgres_server: Postgres | Given) -> Iterator[Postgres]:
    """The PostgreSQL, to `stop()`, `kill()` and `start()`; it runs again when the test has ended."""
    if isinstance(postgres_server, Given):
        pytest.skip("needs a PostgreSQL that it may stop: unset TASKGEN_TEST_POSTGRES_DSN")
    yield postgres_server
    postgres_server.start()


@pytest.fixture
def amqp_vhost_url(broker_server: Broker | Given) -> Iterator[str]:
    """URL of a virtual host that is this test's own, and empty."""
    name = f"test-{uuid.uuid4().hex}"
    management = Management(broker_server.management_url)
    management.create_vhost(name)
    yield urlsplit(broker_server.url)._replace(path=f"/{name}").geturl()
    broker_server.start()  # a fault test may have left it stopped
    management.delete_vhost(name)


@pytest.fixture
def restricted(amqp_vhost_url: str, management_url: str) -> Iterator[Restricted]:
    """A virtual host for the users that the services are under compose."""
    found = Restricted(amqp_vhost_url, management_url)
    yield found
    found.close()


@pytest.fixture
def postgres_database(postgres_server: Postgres | Given) -> Iterator[str]:
    """URL of a database that is this test's own, and empty."""
    name = f"test_{uuid.uuid4().hex}"
    _administer(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield urlsplit(postgres_server.url)._replace(path=f"/{name}").geturl()
    postgres_server.start()  # a fault test may have left it stopped
    _administer(postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(server: Postgres | Given, statement: sql.Composed) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)
