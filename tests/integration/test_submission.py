"""Task-sets on their way into the queue: lazily, all of them, and never more than the queue takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import port_for
import pytest

from taskgen.amqp.reconnect import connected_command
from taskgen.amqp.topology import TASKSETS
from taskgen.client.submit import Submission
from taskgen.errors import BrokerUnavailableError, TaskSetError
from taskgen.messages.codec import TaskSetMessage, read_message
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import BrokerClient, broker_client
from tests.support.servers.rabbitmq import Broker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


@pytest.fixture
def lab(amqp_vhost_url: str) -> Iterator[BrokerClient]:
    with broker_client(amqp_vhost_url) as ear:
        yield ear


def submit(url: str, submission: Submission) -> None:
    asyncio.run(connected_command(url, "test", submission.serve))


def taken(lab: BrokerClient) -> list[TaskSetMessage]:
    """All task-sets in the queue."""
    found = []
    while (body := lab.take(TASKSETS)) is not None:
        message = read_message(body)
        assert isinstance(message, TaskSetMessage)
        found.append(message)
    return found


def test_every_variant_is_submitted_as_often_as_asked(amqp_vhost_url: str, lab: BrokerClient) -> None:
    tasksets = [TaskSet([Task(pkg="hey", priority=[1, 2])]), TaskSet([Task(pkg="pi")])]
    params = {"optimize": {"goal": {"fairness": {"apply": 1}}}}
    submission = Submission(tasksets, repeat=2, max_attempts=5, session_params=[params])
    submit(amqp_vhost_url, submission)
    found = taken(lab)
    assert [(one.tasks[0]["pkg"], one.variant, one.tasks[0]["priority"]) for one in found] == [
        ("hey", 0, 1),
        ("hey", 0, 1),
        ("hey", 1, 2),
        ("hey", 1, 2),
        ("pi", 0, 127),
        ("pi", 0, 127),
    ]
    assert submission.submitted == len({one.taskset_id for one in found}) == 6
    assert {one.campaign_id for one in found} == {submission.campaign_id}
    assert all((one.max_attempts, one.session_params) == (5, [params]) for one in found)


def test_a_variant_of_a_former_campaign_is_submitted_with_its_number_and_parameters(
    amqp_vhost_url: str, lab: BrokerClient
) -> None:
    stored = TaskSet([Task(pkg="hey", priority=5)])
    stored.parameters, stored.first_variant = {"task0.priority": 5}, 7
    submit(amqp_vhost_url, Submission([stored]))
    (message,) = taken(lab)
    assert (message.variant, message.parameters) == (7, {"task0.priority": 5})


def test_a_full_queue_holds_it_back_and_nothing_is_lost(
    amqp_vhost_url: str, lab: BrokerClient, broker: Broker
) -> None:
    vhost = amqp_vhost_url.rpartition("/")[2]
    limit = '{"max-length": 10, "overflow": "reject-publish"}'
    broker.ctl("set_policy", "-p", vhost, "limit", f"^{TASKSETS}$", limit, "--apply-to", "queues")
    submission = Submission([TaskSet([Task(pkg="hey", executiontime=range(500))])])
    found: list[TaskSetMessage] = []

    async def work() -> None:
        submitting = asyncio.create_task(connected_command(amqp_vhost_url, "test", submission.serve))
        was_held_back = False
        async with asyncio.timeout(100):
            while not submitting.done():
                await asyncio.sleep(0.05)
                was_held_back |= submission.is_held_back
                found.extend(taken(lab))
        submitting.result()
        assert was_held_back

    asyncio.run(work())
    found.extend(taken(lab))
    assert sorted(one.variant for one in found) == list(range(500))


def test_a_queue_that_was_deleted_is_declared_again_and_not_taken_for_a_full_one(
    amqp_vhost_url: str, lab: BrokerClient
) -> None:
    is_deleted = threading.Event()

    def values() -> Iterator[int]:
        yield from range(200)
        is_deleted.wait(60)
        yield from range(200, 210)

    submission = Submission([TaskSet([Task(pkg="hey", executiontime=values())])])

    async def work() -> None:
        submitting = asyncio.create_task(connected_command(amqp_vhost_url, "test", submission.serve))
        async with asyncio.timeout(60):
            await asyncio.to_thread(wait_until, lambda: submission.submitted == 200, 50, "a part")
            lab.delete(TASKSETS)
            is_deleted.set()
            await submitting

    asyncio.run(work())
    assert submission.submitted == 210
    assert [one.variant for one in taken(lab)] == list(range(200, 210))


def test_a_generator_is_drawn_only_as_far_as_it_is_submitted(amqp_vhost_url: str, lab: BrokerClient) -> None:
    drawn: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            drawn.append(len(drawn))
            yield drawn[-1]

    submission = Submission([TaskSet([Task(pkg="hey", executiontime=endless())])])

    async def work() -> None:
        submitting = asyncio.create_task(connected_command(amqp_vhost_url, "test", submission.serve))
        async with asyncio.timeout(60):
            await asyncio.to_thread(wait_until, lambda: submission.submitted >= 500, 50, "a part")
            submission.is_stopped = True
            await submitting

    asyncio.run(work())
    assert len(taken(lab)) == submission.submitted
    assert len(drawn) - submission.submitted <= 401


def test_variants_before_a_wrong_value_are_submitted(amqp_vhost_url: str, lab: BrokerClient) -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("the user's own")

    submission = Submission([TaskSet([Task(pkg="hey", executiontime=broken())])])
    submit(amqp_vhost_url, submission)
    assert isinstance(submission.error, TaskSetError)
    assert "the user's own" in str(submission.error)
    assert len(taken(lab)) == submission.submitted == 2


def test_without_a_broker_it_fails_at_once() -> None:
    submission = Submission([TaskSet([Task(pkg="hey")])])
    with pytest.raises(BrokerUnavailableError):
        submit(f"amqp://guest:guest@127.0.0.1:{port_for.select_random()}/%2F", submission)


def test_a_broker_that_goes_away_in_the_middle_is_waited_for(amqp_vhost_url: str, broker: Broker) -> None:
    with broker_client(amqp_vhost_url):
        pass  # the queue is there
    broker.sync()
    submission = Submission([TaskSet([Task(pkg="hey", executiontime=range(5_000))])])

    async def work() -> None:
        submitting = asyncio.create_task(connected_command(amqp_vhost_url, "test", submission.serve))
        async with asyncio.timeout(100):
            await asyncio.to_thread(wait_until, lambda: submission.submitted >= 500, 50, "a part")
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            await submitting

    asyncio.run(work())
    assert submission.submitted == 5_000
    with broker_client(amqp_vhost_url) as ear:
        wait_until(lambda: ear.depth(TASKSETS) >= 5_000, 60, "all to be in the queue")
        assert {one.variant for one in taken(ear)} == set(range(5_000))
