"""A virtual host with the definitions of the compose file: each service is the user that it is there."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from deploy.definitions import definitions
from taskgen.amqp.connection import connection
from taskgen.amqp.topology import Queue, declare, handler_queue
from tests.support.servers.management import Management

USERS = ("distributor", "controller", "sqlite_sink", "csv_sink", "postgres_sink", "handler", "cli")


_OF_0_1: Final = Path(__file__).with_name("definitions_0_1.json")


class Restricted:
    """The virtual host, without any definitions yet.

    Args:
        amqp_url: of the virtual host, as its administrator.
        management_url: of the broker, as its administrator.
    """

    def __init__(self, amqp_url: str, management_url: str) -> None:
        self.amqp_url = amqp_url
        self.vhost = urlsplit(amqp_url).path.removeprefix("/")
        self.api = Management(management_url)
        self._management_url = management_url

    def load(self, given: Mapping[str, Any] | None = None) -> None:
        """Import definitions as `rabbitmqctl import_definitions` does; None: those of today."""
        found = definitions({user: password(user) for user in USERS}) if given is None else given
        moved = {
            kind: [{**one, "vhost": self.vhost} if "vhost" in one else one for one in ones]
            for kind, ones in found.items()
            if kind != "vhosts"
        }
        self.api.request("POST", "/api/definitions", moved)

    def load_0_1(self, handler: str) -> None:
        """Be as version 0.1 leaves it, with a handler's queue, which that version declared and limited."""
        self.load(json.loads(_OF_0_1.read_text()))
        queue = f"taskgen.handler.{handler}"
        arguments: dict[str, Any] = {"x-queue-type": "quorum"}
        by_turns = arguments | {"x-single-active-consumer": True}
        for name, declared in ((f"{queue}.parked", arguments), (queue, by_turns)):
            body = {"durable": True, "arguments": declared}
            self.api.request("PUT", f"/api/queues/{self.vhost}/{name}", body)
        for kind in ("started", "events", "finished", "stopped", "quarantined"):
            path = f"/api/bindings/{self.vhost}/e/taskgen.events/q/{queue}"
            self.api.request("POST", path, {"routing_key": f"{kind}.#"})
        definition = {
            "delivery-limit": 20,
            "dead-letter-exchange": "",
            "dead-letter-routing-key": f"{queue}.parked",
            "dead-letter-strategy": "at-least-once",
            "overflow": "reject-publish",
        }
        pattern = f"^{re.escape(queue)}$"
        policy = {"pattern": pattern, "apply-to": "queues", "priority": 1, "definition": definition}
        self.api.request("PUT", f"/api/policies/{self.vhost}/{queue}", policy)

    def url(self, user: str) -> str:
        """The virtual host as a service sees it."""
        return _as(user, self.amqp_url)

    def management_url(self, user: str) -> str:
        """The management API as a service sees it."""
        return _as(user, self._management_url)

    def declare_handler(self, name: str) -> None:
        """What a handler's service declares when it begins."""
        asyncio.run(_declare(self.url("handler"), handler_queue(name)))

    def exported(self) -> dict[str, Any]:
        """All that is in the virtual host, and who may do what there."""
        found: dict[str, Any] = self.api.request("GET", f"/api/definitions/{self.vhost}")
        kinds = ("exchanges", "queues", "bindings", "policies")
        return {kind: sorted(map(str, found[kind])) for kind in kinds}

    def close(self) -> None:
        """Users are the broker's, and not gone with the virtual host."""
        for user in USERS:
            self.api.request("DELETE", f"/api/users/{user}")


async def _declare(url: str, queue: Queue) -> None:
    async with connection(url, "test") as link:
        await declare(link, [queue])


def password(user: str) -> str:
    return f"secret of {user}"


def _as(user: str, url: str) -> str:
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{quote(password(user))}@{where}").geturl()
