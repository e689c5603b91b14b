"""`taskgen setup` on a real broker: queues and their limits, and what it says where it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import port_for
import pytest

from taskgen.amqp.connection import connection
from taskgen.amqp.management import Management
from taskgen.amqp.policies import policies
from taskgen.amqp.topology import TASKSETS, all_queues, handler_queue, sink_queue
from taskgen.errors import BrokerUnavailableError
from tests.support.broker_client import queue_depth
from tests.support.command_line import run_taskgen
from tests.support.servers.management import Management as Api
from tests.support.services import Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


class Broker:
    """A virtual host as its administrator sees it."""

    def __init__(self, amqp_url: str, management_url: str) -> None:
        self.options = ("--amqp-url", amqp_url, "--management-url", management_url)
        self._api = Api(management_url)
        self._vhost = urlsplit(amqp_url).path[1:]

    def queues(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self._api.request("GET", f"/api/queues/{self._vhost}")}

    def policies(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self._api.request("GET", f"/api/policies/{self._vhost}")}

    def set_policy(self, name: str, **policy: Any) -> None:
        self._api.request("PUT", f"/api/policies/{self._vhost}/{name}", policy)


@pytest.fixture
def lab(amqp_vhost_url: str, management_url: str) -> Broker:
    return Broker(amqp_vhost_url, management_url)


def test_a_bare_broker_gets_queues_and_limits_and_the_second_time_changes_nothing(
    lab: Broker, tmp_path: Path
) -> None:
    done = run_taskgen("setup", *lab.options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    names = {name for queue in all_queues() for name in (queue.name, queue.dead_letters)}
    assert lab.queues().keys() == names
    there = lab.policies()
    assert {one["name"]: one for one in policies()} == {
        name: {field: policy[field] for field in ("name", "pattern", "apply-to", "priority", "definition")}
        for name, policy in there.items()
    }
    assert "policies set" in done.stdout
    again = run_taskgen("setup", *lab.options, cwd=tmp_path)
    assert (again.returncode, "policies unchanged" in again.stdout) == (0, True)
    assert lab.policies() == there


def test_no_limit_is_infinite_and_each_queue_but_those_of_handlers_has_its_own_policy(
    lab: Broker, tmp_path: Path
) -> None:
    run_taskgen("setup", *lab.options, "--handler", "mine", cwd=tmp_path)
    assert all(one["definition"]["delivery-limit"] > 0 for one in lab.policies().values())
    expected = {queue.name: queue.name for queue in all_queues()}
    expected |= {handler_queue("mine").name: "taskgen.handler"}
    expected |= {f"{name}.parked": "taskgen" for name in expected}

    def are_applied() -> bool:
        return {name: found.get("policy") for name, found in lab.queues().items()} == expected

    wait_until(are_applied, 30, "policies applied")


def test_a_policy_that_differs_is_changed(lab: Broker, tmp_path: Path) -> None:
    run_taskgen("setup", *lab.options, cwd=tmp_path)
    run_taskgen("setup", *lab.options, "--max-tasksets", "3", cwd=tmp_path)
    assert lab.policies()[TASKSETS]["definition"]["max-length"] == 3


def test_a_full_queue_of_tasksets_refuses_more(lab: Broker, amqp_vhost_url: str, tmp_path: Path) -> None:
    run_taskgen("setup", *lab.options, "--max-tasksets", "3", cwd=tmp_path)

    async def fill() -> int:
        async with connection(amqp_vhost_url, "test") as link:
            channel = await link.channel(confirms=True)
            for number in range(100):
                try:
                    await channel.publish("", TASKSETS, b"{}", f"{number}")
                except BrokerUnavailableError:
                    return number
        return 100

    assert 3 <= asyncio.run(fill()) < 100
    assert queue_depth(amqp_vhost_url, TASKSETS) < 100


def test_without_a_management_api_the_queues_are_declared_with_a_note(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    done = run_taskgen("setup", "--amqp-url", amqp_vhost_url, cwd=tmp_path)
    assert done.returncode == 0
    assert "no limits were set" in done.stderr
    assert queue_depth(amqp_vhost_url, TASKSETS) == 0


def test_a_management_url_that_is_wrong_is_one_line(
    amqp_vhost_url: str, management_url: str, tmp_path: Path
) -> None:
    parts = urlsplit(management_url)
    refused = parts._replace(netloc=f"guest:wrong@{parts.hostname}:{parts.port}").geturl()
    for url in (refused, f"http://127.0.0.1:{port_for.select_random()}", "nowhere"):
        done = run_taskgen("setup", "--amqp-url", amqp_vhost_url, "--management-url", url, cwd=tmp_path)
        assert done.returncode != 0
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


def test_a_queue_with_other_arguments_is_named(amqp_vhost_url: str, tmp_path: Path) -> None:
    async def declare_otherwise() -> None:
        async with connection(amqp_vhost_url, "test") as link:
            await (await link.channel()).declare_queue(TASKSETS, {"x-queue-type": "classic"})

    asyncio.run(declare_otherwise())
    done = run_taskgen("setup", "--amqp-url", amqp_vhost_url, cwd=tmp_path)
    assert done.returncode != 0
    assert f"queue {TASKSETS}" in done.stderr
    assert "x-queue-type" in done.stderr


def test_a_service_on_a_bare_broker_sets_the_limits_of_its_queue_and_of_no_other(
    lab: Broker, amqp_vhost_url: str, management_url: str, tmp_path: Path
) -> None:
    variables = {"amqp_url": amqp_vhost_url, "management_url": management_url}
    queue = sink_queue("sqlite").name
    with Service("sqlite_sink", **variables, sqlite_path=tmp_path / "events.db") as service:
        service.wait_healthy()
        assert lab.policies().keys() == {queue, "taskgen"}


def test_a_service_leaves_the_policies_of_an_operator_alone(
    lab: Broker, amqp_vhost_url: str, management_url: str, tmp_path: Path
) -> None:
    mine = {"pattern": "^taskgen.sink", "definition": {"delivery-limit": 7}, "apply-to": "queues"}
    lab.set_policy("mine", **mine)
    variables = {"amqp_url": amqp_vhost_url, "management_url": management_url}
    with Service("sqlite_sink", **variables, sqlite_path=tmp_path / "events.db") as service:
        service.wait_healthy()
        assert lab.policies().keys() == {"mine", "taskgen"}


def test_a_handler_on_a_bare_broker_sets_the_limits_of_all_handlers(
    amqp_vhost_url: str, management_url: str, lab: Broker
) -> None:
    added = Management(management_url, amqp_vhost_url).add_policies([handler_queue("a"), handler_queue("b")])
    assert sorted(added) == ["taskgen", "taskgen.handler"]
    assert lab.policies().keys() == {*added}
