"""Under compose's definitions nobody changes anything through the management API; people look at queues."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError

import pytest

from tests.support.restricted_lab import USERS, Restricted
from tests.support.servers.management import Management

pytestmark = pytest.mark.servers


@pytest.fixture
def lab(restricted: Restricted) -> Restricted:
    restricted.load()
    return restricted


def requests(vhost: str) -> list[tuple[str, str, Any]]:
    """What the management API could be asked to do, or to tell, and no service may."""
    policy = {"pattern": ".*", "apply-to": "queues", "definition": {"message-ttl": 0}}
    bare = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
    message = {
        "properties": {},
        "routing_key": "taskgen.tasksets",
        "payload": "forged",
        "payload_encoding": "string",
    }
    sink, everything = "taskgen.sink.sqlite", {"configure": ".*", "write": ".*", "read": ".*"}
    return [
        ("PUT", f"policies/{vhost}/mine", policy),
        ("PUT", f"policies/{vhost}/{sink}", policy),
        ("DELETE", f"policies/{vhost}/{sink}", None),
        ("PUT", f"operator-policies/{vhost}/mine", policy),
        ("PUT", f"parameters/shovel/{vhost}/mine", {"value": {}}),
        ("PUT", "global-parameters/mine", {"value": {}}),
        ("PUT", f"vhost-limits/{vhost}/max-queues", {"value": 0}),
        ("PUT", f"vhosts/{vhost}-mine", {}),
        ("DELETE", f"vhosts/{vhost}", None),
        ("PUT", "users/mine", {"password": "mine", "tags": "administrator"}),
        ("DELETE", "users/distributor", None),
        ("PUT", f"permissions/{vhost}/cli", everything),
        (
            "PUT",
            f"topic-permissions/{vhost}/cli",
            {"exchange": "taskgen.events", "write": ".*", "read": ".*"},
        ),
        ("POST", "definitions", {"users": []}),
        ("GET", "definitions", None),
        ("GET", "users", None),
        ("PUT", f"queues/{vhost}/mine", bare),
        ("DELETE", f"queues/{vhost}/{sink}", None),
        ("DELETE", f"queues/{vhost}/{sink}/contents", None),
        ("PUT", f"exchanges/{vhost}/mine", {"type": "fanout"}),
        ("DELETE", f"exchanges/{vhost}/taskgen.events", None),
        ("POST", f"exchanges/{vhost}/amq.default/publish", message),
        ("POST", f"bindings/{vhost}/e/taskgen.events/q/taskgen.tasksets", {"routing_key": "#"}),
        ("DELETE", f"bindings/{vhost}/e/taskgen.events/q/{sink}/events.%23", None),
    ]


@pytest.mark.parametrize("user", USERS)
def test_nobody_can_change_anything_through_the_management_api(lab: Restricted, user: str) -> None:
    client, before = Management(lab.management_url(user)), lab.exported()
    for method, path, body in requests(lab.vhost):
        with pytest.raises(HTTPError) as caught:
            client.request(method, f"/api/{path}", body)
        said = f"{method} {path}: {caught.value.code} {caught.value.read()!r}"
        assert caught.value.code in (401, 403) or "ACCESS_REFUSED" in said, said
    assert lab.exported() == before


@pytest.mark.parametrize("user", USERS)
def test_only_people_see_the_queues_in_the_management_api(lab: Restricted, user: str) -> None:
    client = Management(lab.management_url(user))
    if user == "cli":
        assert "taskgen.sink.sqlite" in {
            one["name"] for one in client.request("GET", f"/api/queues/{lab.vhost}")
        }
    else:
        with pytest.raises(HTTPError, match="401"):
            client.request("GET", f"/api/queues/{lab.vhost}")
