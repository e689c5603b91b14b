"""The definitions that the compose file's broker loads are what the services would declare themselves."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.definitions import definitions
from deploy.rights import RIGHTS
from taskgen.amqp.connection import connection
from taskgen.amqp.topology import all_queues, declare
from tests.servers.management import Management

PASSWORDS = {user: f"secret of {user}" for user in RIGHTS}


def in_vhost(vhost: str) -> dict[str, Any]:
    """The definitions, moved into a virtual host."""
    return {
        kind: [{**one, "vhost": vhost} if "vhost" in one else one for one in ones]
        for kind, ones in definitions(PASSWORDS).items()
        if kind != "vhosts"
    }


@pytest.fixture
def vhost(amqp_vhost_url):
    return urlsplit(amqp_vhost_url).path.removeprefix("/")


@pytest.fixture
def management(management_url, vhost):
    """The broker, with the definitions in a virtual host of this test's own."""
    client = Management(management_url)
    client.request("POST", "/api/definitions", in_vhost(vhost))
    yield client
    for user in RIGHTS:
        client.request("DELETE", f"/api/users/{user}")


def declared(client: Management, vhost: str) -> dict[str, list[str]]:
    """What is in a virtual host."""
    found = client.request("GET", f"/api/definitions/{vhost}")
    return {kind: sorted(map(str, found[kind])) for kind in ("exchanges", "queues", "bindings")}


async def declare_all(url: str) -> None:
    async with connection(url, "test") as link:
        await declare(await link.channel(), all_queues())


def test_declaring_after_loading_them_changes_nothing(management, vhost, amqp_vhost_url):
    loaded = declared(management, vhost)
    asyncio.run(declare_all(amqp_vhost_url))
    assert declared(management, vhost) == loaded
    assert len(loaded["queues"]) == 2 * len(all_queues())


@pytest.mark.parametrize("user", RIGHTS)
def test_each_user_gets_in_with_its_password(management, user, management_url):
    address = urlsplit(management_url).netloc.rpartition("@")[2]
    # Without a tag the management API lets nobody see anything, but says so only to who has the password.
    management.request("PUT", f"/api/users/{user}", {**hashed(management, user), "tags": "management"})
    client = Management(f"http://{user}:{PASSWORDS[user].replace(' ', '%20')}@{address}")
    assert client.request("GET", "/api/whoami")["name"] == user


def hashed(client: Management, user: str) -> dict[str, str]:
    found = client.request("GET", f"/api/users/{user}")
    return {name: found[name] for name in ("password_hash", "hashing_algorithm")}
