"""A broker that breaks off while a connection is made refuses nobody: only what it says so is a refusal."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taskgen.amqp.connection import connection
from taskgen.errors import BrokerUnavailableError
from tests.support.handshake_cutter import handshake_cutter
from tests.support.servers.rabbitmq import Broker
from tests.support.services import Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

CUTS = 3
START_OF_START = b"\x01\x00\x00\x00\x00\x01\xff"
NO_CONNECTION = json.dumps({"max-connections": 0})


@pytest.fixture
def limited_user(broker: Broker, amqp_vhost_url: str) -> Iterator[str]:
    """A user that may do all in the virtual host, but may not have a connection."""
    name = urlsplit(amqp_vhost_url).path[1:]
    broker.ctl("add_user", name, "secret")
    broker.ctl("set_permissions", "--vhost", name, name, ".*", ".*", ".*")
    broker.ctl("set_user_limits", name, NO_CONNECTION)
    yield name
    broker.ctl("delete_user", name)


def connect(url: str) -> None:
    async def work() -> None:
        async with connection(url, "test"):
            pass

    asyncio.run(work())


@pytest.mark.parametrize("frames", [0, 1, 2], ids=["at once", "after Start", "after Tune"])
def test_a_service_whose_connections_are_cut_during_the_handshake_connects_again(
    amqp_vhost_url: str, tmp_path: Path, frames: int
) -> None:
    with (
        handshake_cutter(amqp_vhost_url, CUTS, frames) as between,
        Service("sqlite_sink", amqp_url=between.url, sqlite_path=tmp_path / "events.db") as service,
    ):
        service.wait_healthy()
        assert between.cuts_left == 0
        assert service.stop() == 0


def test_a_service_waits_while_the_virtual_host_is_at_its_connection_limit(
    broker: Broker, amqp_vhost_url: str, tmp_path: Path
) -> None:
    vhost = urlsplit(amqp_vhost_url).path[1:]
    broker.ctl("set_vhost_limits", "--vhost", vhost, NO_CONNECTION)
    with Service("sqlite_sink", amqp_url=amqp_vhost_url, sqlite_path=tmp_path / "events.db") as service:
        wait_until(
            lambda: "connection limit (0) is reached" in service.get("/healthz")[1],
            30,
            "the service to be turned away",
        )
        broker.ctl("clear_vhost_limits", "--vhost", vhost)
        service.wait_healthy()


def test_a_user_with_too_many_connections_is_not_refused_permanently(
    amqp_vhost_url: str, limited_user: str
) -> None:
    parts = urlsplit(amqp_vhost_url)
    url = parts._replace(netloc=f"{limited_user}:secret@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(BrokerUnavailableError, match="connection limit"):
        connect(url)


@pytest.mark.parametrize("said", [b"", START_OF_START], ids=["nothing", "half a frame"])
def test_a_service_ends_quietly_while_its_broker_is_silent(tmp_path: Path, said: bytes) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Service(
            "sqlite_sink",
            amqp_url=f"amqp://127.0.0.1:{silent.getsockname()[1]}/",
            sqlite_path=tmp_path / "events.db",
        ) as service,
    ):
        silent.settimeout(30)
        client, _ = silent.accept()
        with client:
            assert client.recv(8).startswith(b"AMQP")
            client.sendall(said)
            assert service.stop() == 0
            assert client.recv(1) == b""
        assert service.log.strip().endswith("sqlite_sink has ended")
        assert "Traceback" not in service.log


@pytest.mark.parametrize("vhost", ["no-such", "connection-limits"])
def test_a_missing_virtual_host_ends_a_service_with_one_line(
    amqp_url: str, tmp_path: Path, vhost: str
) -> None:
    url = urlsplit(amqp_url)._replace(path=f"/{vhost}").geturl()
    with Service("sqlite_sink", amqp_url=url, sqlite_path=tmp_path / "events.db") as service:
        assert service.process.wait(timeout=60) == 1
        line = service.log.strip().splitlines()[-1]
        assert line.startswith("sqlite_sink: the broker refused amqp://guest:***@127.0.0.1")
        assert f"vhost {vhost} not found" in line
        assert "Traceback" not in service.log
