"""Dead letters on a real broker: listed, shown, requeued, deleted; none is ever lost by looking."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from taskgen.amqp import dead_letters as letters
from taskgen.amqp.connection import connection
from taskgen.amqp.topology import sink_queue
from tests.support.broker_client import dead_letters_of, declare_queues, publish_to_queue, queue_depth
from tests.support.command_line import run_taskgen
from tests.support.message_factory import ended_message, run_head
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

QUEUE = sink_queue("sqlite")
GOOD = ended_message(run_head(), 0).body()


@pytest.fixture
def url(amqp_vhost_url: str) -> str:
    """A broker with three messages parked, and one waiting."""
    declare_queues(amqp_vhost_url, QUEUE)
    publish_to_queue(amqp_vhost_url, QUEUE.name, [b"one", b"two \xff", GOOD, b"waiting"])
    asyncio.run(_park(amqp_vhost_url, 3))
    return amqp_vhost_url


async def _park(url: str, count: int) -> None:
    async with connection(url, "test") as link:
        channel = await link.channel(confirms=True)
        for number in range(count):
            delivery = await channel.get(QUEUE.name)
            assert delivery is not None
            await letters.dead_letter(channel, QUEUE.name, delivery, f"reason {number}")
            channel.acknowledge(delivery.tag)


def test_dead_letters_are_counted_and_listed_with_their_reasons(url: str, tmp_path: Path) -> None:
    counts = run_taskgen("dead-letters", "list", "--amqp-url", url, cwd=tmp_path)
    assert counts.returncode == 0
    (line,) = [line for line in counts.stdout.splitlines() if QUEUE.name in line]
    assert "3" in line
    for name in (QUEUE.name, QUEUE.dead_letters):
        listed = run_taskgen("dead-letters", "list", name, "--amqp-url", url, cwd=tmp_path).stdout
        assert [f"reason {number}" in listed for number in range(4)] == [True, True, True, False]


def test_all_dead_letter_queues_are_listed_if_the_management_api_answers(
    url: str, management_url: str, tmp_path: Path
) -> None:
    declare_queues(url, sink_queue("other"))

    def listed() -> str:
        options = ("--amqp-url", url, "--management-url", management_url)
        return run_taskgen("dead-letters", "list", *options, cwd=tmp_path).stdout

    wait_until(lambda: "taskgen.sink.other" in listed(), 30, "the queue in the list")
    asyncio.run(_park(url, 1))
    # At once: the API's own numbers are some seconds old.
    assert any(QUEUE.name in line and "4" in line for line in listed().splitlines())


def test_a_message_is_shown_in_full_and_stays_however_often(url: str, tmp_path: Path) -> None:
    for _ in range(3):
        shown = run_taskgen("dead-letters", "show", QUEUE.name, "--amqp-url", url, cwd=tmp_path).stdout
        assert "two \\xff" in shown
        assert GOOD.decode() in shown
        assert f"routing key  {QUEUE.name}" in shown
    wait_until(lambda: queue_depth(url, QUEUE.dead_letters) == 3, 10, "all given back")


def test_redriven_messages_are_requeued_without_the_dead_letter_headers(url: str, tmp_path: Path) -> None:
    done = run_taskgen("dead-letters", "redrive", QUEUE.name, "--amqp-url", url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"3 messages requeued into {QUEUE.name}\n")
    assert queue_depth(url, QUEUE.dead_letters) == 0
    assert asyncio.run(_all_of(url)) == [(b"waiting", {}), (b"one", {}), (b"two \xff", {}), (GOOD, {})]


def test_one_message_is_chosen_by_its_id_and_the_others_stay(url: str, tmp_path: Path) -> None:
    chosen = dead_letters_of(url, QUEUE.name)[1]
    options = ("--id", chosen.message_id, "--amqp-url", url)
    shown = run_taskgen("dead-letters", "show", QUEUE.name, *options, cwd=tmp_path).stdout
    assert shown.count("reason ") - shown.count("x-taskgen-reason") == 2  # the field and its text
    run_taskgen("dead-letters", "redrive", QUEUE.name, *options, cwd=tmp_path)
    wait_until(lambda: queue_depth(url, QUEUE.dead_letters) == 2, 10, "the others given back")
    assert [one.delivery.body for one in dead_letters_of(url, QUEUE.name)] == [b"one", GOOD]


def test_dropping_asks_first_and_deletes_permanently(url: str, tmp_path: Path) -> None:
    asked = run_taskgen("dead-letters", "drop", QUEUE.name, "--amqp-url", url, cwd=tmp_path)
    assert asked.returncode != 0
    assert queue_depth(url, QUEUE.dead_letters) == 3
    done = run_taskgen("dead-letters", "drop", QUEUE.name, "--yes", "--amqp-url", url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "3 messages deleted\n")
    assert (queue_depth(url, QUEUE.dead_letters), queue_depth(url, QUEUE.name)) == (0, 1)


def test_a_message_stays_a_dead_letter_if_its_queue_is_gone(url: str, tmp_path: Path) -> None:
    async def delete() -> None:
        async with connection(url, "test") as link:
            await (await link.channel()).delete_queue(QUEUE.name)

    asyncio.run(delete())
    done = run_taskgen("dead-letters", "redrive", QUEUE.name, "--amqp-url", url, cwd=tmp_path)
    assert done.returncode != 0
    assert f"the queue {QUEUE.name} does not exist" in done.stderr
    wait_until(lambda: queue_depth(url, QUEUE.dead_letters) == 3, 10, "all given back")


def test_the_error_for_a_queue_of_an_older_version_says_what_it_lacks(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    async def declare_bare() -> None:
        async with connection(amqp_vhost_url, "test") as link:
            await (await link.channel()).declare_queue(QUEUE.dead_letters, {"x-queue-type": "quorum"})

    asyncio.run(declare_bare())
    publish_to_queue(amqp_vhost_url, QUEUE.dead_letters, [b"one"])
    done = run_taskgen("dead-letters", "redrive", QUEUE.name, "--amqp-url", amqp_vhost_url, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "`taskgen setup`" in done.stderr
    assert queue_depth(amqp_vhost_url, QUEUE.dead_letters) == 1


def test_a_queue_that_does_not_exist_is_one_line(url: str, tmp_path: Path) -> None:
    done = run_taskgen("dead-letters", "list", "taskgen.sink.nobody", "--amqp-url", url, cwd=tmp_path)
    assert done.returncode != 0
    assert "taskgen.sink.nobody" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_message_that_repeatedly_kills_its_consumer_is_dead_lettered_by_the_broker(
    url: str, management_url: str, tmp_path: Path
) -> None:
    run_taskgen("setup", "--amqp-url", url, "--management-url", management_url, cwd=tmp_path)
    run_taskgen("dead-letters", "drop", QUEUE.name, "--yes", "--amqp-url", url, cwd=tmp_path)

    async def take_and_die() -> bool:
        async with connection(url, "test") as link:
            return await (await link.channel()).get(QUEUE.name) is not None

    def is_parked() -> bool:
        asyncio.run(take_and_die())
        return queue_depth(url, QUEUE.dead_letters) == 1

    wait_until(is_parked, 60, "the message parked")
    (one,) = dead_letters_of(url, QUEUE.name)
    assert (one.delivery.body, one.reason) == (b"waiting", "delivery_limit, by the broker")
    assert one.routing_key == QUEUE.name
    run_taskgen("dead-letters", "redrive", QUEUE.name, "--amqp-url", url, cwd=tmp_path)
    assert asyncio.run(_all_of(url)) == [(b"waiting", {})]


async def _all_of(url: str) -> list[tuple[bytes, dict[str, object]]]:
    """Bodies and headers of what the queue has, taken out of it."""
    found = []
    async with connection(url, "test") as link:
        channel = await link.channel()
        while (delivery := await channel.get(QUEUE.name)) is not None:
            headers = {k: v for k, v in delivery.headers.items() if k != "x-delivery-count"}  # the broker's
            found.append((delivery.body, headers))
            channel.acknowledge(delivery.tag)
        await channel.close()
    return found


def test_the_former_name_of_the_command_still_works(url: str, tmp_path: Path) -> None:
    listed = run_taskgen("dead-letters", "list", QUEUE.name, "--amqp-url", url, cwd=tmp_path)
    assert (listed.returncode, "reason 0" in listed.stdout) == (0, True)
