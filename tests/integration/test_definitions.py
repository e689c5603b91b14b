"""The definitions that the compose file's broker loads are what the services would declare themselves."""

from __future__ import annotations

import asyncio

import pytest

from taskgen.amqp.connection import connection
from taskgen.amqp.topology import all_queues, declare
from tests.support.restricted_lab import USERS, Restricted
from tests.support.servers.management import Management

pytestmark = pytest.mark.servers


@pytest.fixture
def loaded(restricted: Restricted) -> Restricted:
    restricted.load()
    return restricted


async def declare_all(url: str) -> None:
    async with connection(url, "test") as link:
        await declare(link, all_queues(), is_setup=True)


def test_declaring_after_loading_them_changes_nothing(loaded: Restricted) -> None:
    before = loaded.exported()
    asyncio.run(declare_all(loaded.amqp_url))
    assert loaded.exported() == before
    assert len(before["queues"]) == 2 * len(all_queues())


@pytest.mark.parametrize("user", USERS)
def test_each_user_can_connect_with_its_password(loaded: Restricted, user: str) -> None:
    # Without a tag the management API lets nobody see anything, but says so only to who has the password.
    loaded.api.request("PUT", f"/api/users/{user}", {**hashed(loaded.api, user), "tags": "management"})
    assert Management(loaded.management_url(user)).request("GET", "/api/whoami")["name"] == user


def hashed(client: Management, user: str) -> dict[str, str]:
    found = client.request("GET", f"/api/users/{user}")
    return {name: found[name] for name in ("password_hash", "hashing_algorithm")}
