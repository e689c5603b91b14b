"""RabbitMQ's management API, for what AMQP cannot do: setting policies and listing queues."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from taskgen.amqp.policies import Policy, for_all_others, for_queue
from taskgen.amqp.topology import Queue
from taskgen.errors import BrokerError, BrokerUnavailableError, CredentialsError, TopologyError
from taskgen.runtime.settings import ServiceSettings
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_AMQP_PORT: Final = 5672
_PORT: Final = 15672
_TIMEOUT_S: Final = 5
_COMPARED: Final = ("pattern", "apply-to", "priority", "definition")


class QueueCounts(NamedTuple):
    """How many messages a queue had some seconds ago; None if the broker has not counted them."""

    ready: int | None
    """Ready for delivery."""
    held: int | None
    """Delivered but not acknowledged."""


class Management:
    """The API for one user and one virtual host; its methods block.

    All of them raise `BrokerUnavailableError`: it does not answer; `CredentialsError`: it refuses this
    user; `TopologyError`: there is no such virtual host.

    Args:
        url: `http://user:password@host:15672`; without a user, the one of `amqp_url`.
        amqp_url: says which virtual host.
    """

    def __init__(self, url: str, amqp_url: str) -> None:
        parts, broker = urlsplit(url), urlsplit(amqp_url)
        named = parts if parts.username else broker
        user, password = unquote(named.username or "guest"), unquote(named.password or "guest")
        where = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{where}"
        self._base = f"{self.name}{parts.path.rstrip('/')}/api"
        self._vhost = quote(unquote(broker.path[1:]) or "/", safe="")
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}

    def queues(self) -> dict[str, QueueCounts]:
        """All queues by name, with their numbers of messages."""
        columns = "name,messages_ready,messages_unacknowledged"
        found = self._listed(f"/queues/{self._vhost}?columns={columns}", "name")
        return {
            one["name"]: QueueCounts(one.get("messages_ready"), one.get("messages_unacknowledged"))
            for one in found
        }

    def set_policies(self, policies: Iterable[Policy]) -> list[str]:
        """Set policies that do not exist or differ; returns their names."""
        there = self._policies()
        changed = [one for one in policies if not _is_same(one, there.get(one["name"]))]
        for policy in changed:
            self._put(policy)
        return [policy["name"] for policy in changed]

    def add_policies(self, queues: Iterable[Queue]) -> list[str]:
        """Set our policies for queues that no policy applies to; returns their names."""
        there, rest = self._policies(), for_all_others()
        patterns = [one["pattern"] for name, one in there.items() if name != rest["name"]]
        free = [queue for queue in queues if not any(_applies(one, queue) for one in patterns)]
        added = list({policy["name"]: policy for policy in map(for_queue, free)}.values())
        if rest["name"] not in there:
            added.append(rest)
        for policy in added:
            self._put(policy)
        return [policy["name"] for policy in added]

    def _policies(self) -> dict[str, Policy]:
        return {one["name"]: one for one in self._listed(f"/policies/{self._vhost}", "name", "pattern")}

    def _put(self, policy: Policy) -> None:
        body = {name: policy[name] for name in _COMPARED}
        self._ask("PUT", f"/policies/{self._vhost}/{quote(policy['name'], safe='')}", body)

    def _listed(self, path: str, *names: str) -> list[dict[str, Any]]:
        """A list of objects with texts of these names."""
        found = self._ask("GET", path)
        if not (isinstance(found, list) and all(_has_texts(one, names) for one in found)):
            raise BrokerUnavailableError(f"{self.name}: the server there is not a management API")
        return found

    def _ask(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._base + path, data, self._headers, method=method)  # noqa: S310 - http(s) only
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - as above
                content = response.read()
            return json.loads(content) if content else None
        except HTTPError as error:
            raise self._translated(error) from error
        except (HTTPException, OSError, ValueError) as error:  # cut off, absent, or not even HTTP or JSON
            raise BrokerUnavailableError(
                f"{self.name}: the management API does not answer: {brief(repr(error))}"
            ) from error

    def _translated(self, error: HTTPError) -> BrokerError:
        reason = f"{self.name}: {error.code} {brief(error.reason)}: {brief(_body(error))}"
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return CredentialsError(reason)
        if error.code == HTTPStatus.NOT_FOUND:
            return TopologyError(reason)
        return BrokerUnavailableError(reason)


def find_management(url: str | None, amqp_url: str) -> Management | None:
    """Find the management API: at a URL, or at the default port of a broker that uses its own default port.

    Args:
        url: taken as it is; None: to be found, and None returned if it is not there.
        amqp_url: the broker.
    """
    if url is not None:
        return Management(url, amqp_url)
    broker = urlsplit(amqp_url)
    if (broker.port or _AMQP_PORT) != _AMQP_PORT:
        return None  # the API at the default port may belong to another broker
    host = f"[{broker.hostname}]" if ":" in (broker.hostname or "") else broker.hostname
    found = Management(f"http://{host}:{_PORT}", amqp_url)
    try:
        found.queues()
    except BrokerError:
        return None
    return found


async def add_limits(settings: ServiceSettings, queues: Iterable[Queue]) -> None:
    """Set the limits of queues that no policy applies to, if this user may; log it if not."""

    def add() -> list[str]:
        management = find_management(settings.management_url, settings.amqp_url)
        return management.add_policies(queues) if management else []

    try:
        added = await asyncio.to_thread(add)
    except BrokerError as error:
        log.info("the queues' limits were not changed: %s", error)
    else:
        if added:
            log.info("policies set: %s", ", ".join(added))


def _has_texts(one: object, names: Iterable[str]) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(name), str) for name in names)


def _body(error: HTTPError) -> str:
    """The beginning of the answer's body, as far as it could be read."""
    with error, suppress(HTTPException, OSError):
        return error.read(500).decode(errors="replace")
    return ""


def _is_same(ours: Policy, theirs: Policy | None) -> bool:
    return theirs is not None and all(ours[name] == theirs.get(name) for name in _COMPARED)


def _applies(pattern: str, queue: Queue) -> bool:
    try:
        return re.search(pattern, queue.name) is not None
    except re.error:  # Erlang's dialect differs; a policy that cannot be understood is not overridden
        return True
