"""A client of the broker in blocking calls: what tests publish, receive and look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError

from taskgen.amqp.connection import Connection, connection
from taskgen.amqp.dead_letters import DeadLetter, dead_letters
from taskgen.amqp.topology import COMMANDS, EVENTS, TASKSETS, Queue, declare
from taskgen.messages.codec import (
    DecisionMessage,
    EventsMessage,
    Message,
    StartedMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.run import Outcome
from taskgen.taskset import TaskSet
from tests.support.message_factory import routing_key
from tests.support.waiting import wait_until

M = TypeVar("M")
T = TypeVar("T")


class BrokerClient:
    """One channel, which receives all that goes through the exchange of events from then on."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        channel.confirm_delivery()
        channel.exchange_declare(EVENTS, "topic", durable=True)
        channel.exchange_declare(COMMANDS, "direct", durable=True)
        for queue in (TASKSETS, f"{TASKSETS}.parked"):
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        channel.exchange_declare(f"{TASKSETS}.inbox", "direct", durable=True)
        channel.queue_bind(TASKSETS, f"{TASKSETS}.inbox", TASKSETS)
        self._queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(self._queue, EVENTS, "#")
        self.received: list[Message] = []

    def receive_from(self, queue: str) -> Self:
        """Receive from a queue of that name, which outlives this connection and the broker."""
        self._queue = queue
        self._channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        self._channel.queue_bind(queue, EVENTS, "#")
        return self

    def receive_only(self, *kinds: str) -> Self:
        """Receive only these kinds of messages from now on."""
        self._channel.queue_unbind(self._queue, EVENTS, "#")
        for kind in kinds:
            self._channel.queue_bind(self._queue, EVENTS, f"{kind}.#")
        return self

    def submit(self, taskset: TaskSet, **fields: object) -> list[TaskSetMessage]:
        """Put all variants of a task-set into the queue."""
        messages = [
            TaskSetMessage(tasks=[dict(task) for task in variant], variant=number, **fields)
            for number, variant in enumerate(taskset.variants())
        ]
        for message in messages:
            self.publish("", TASKSETS, message.body())
        return messages

    def submit_until_refused(self, taskset: TaskSet) -> None:
        """Fill the queue of task-sets, which has a limit."""
        for _ in range(100):
            try:
                self.submit(taskset)
            except NackError:
                return
        raise AssertionError("the queue has no limit")

    def publish(self, exchange: str, key: str, body: bytes) -> None:
        """Publish, confirmed."""
        self._channel.basic_publish(
            exchange, key, body, pika.BasicProperties(delivery_mode=2), mandatory=True
        )

    def take(self, queue: str) -> bytes | None:
        """The next message of a queue, for good; None if there is none now."""
        _, _, body = self._channel.basic_get(queue, auto_ack=True)
        return None if body is None else bytes(body)

    def purge(self, queue: str) -> None:
        """Drop what waits in a queue."""
        self._channel.queue_purge(queue)

    def declare_plain(self, queue: str) -> None:
        """Declare a quorum queue that is not the lab's."""
        self._channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})

    def delete(self, queue: str) -> None:
        """Delete a queue, whoever uses it."""
        self._channel.queue_delete(queue)

    def declare_elsewhere(self, name: str) -> None:
        """Declare an exchange and a queue that are not the lab's."""
        self._channel.exchange_declare(name, "fanout")
        self._channel.queue_declare(name)
        self._channel.queue_bind(name, name)

    def hold_lease(self, board: str) -> None:
        """Hold a board's lease, as the distributor that serves it does."""
        queue = self._channel.queue_declare(f"taskgen.board.{board}", exclusive=True).method.queue
        self._channel.queue_bind(queue, COMMANDS, board)

    def decide(self, started: StartedMessage, outcome: Outcome) -> None:
        """Send a decision about a run to its board, as a controller does."""
        message = DecisionMessage(run_id=started.run.run_id, outcome=outcome, reason="the test says so")
        self.publish(COMMANDS, started.run.board, message.body())

    def all_of(self, kind: type[M]) -> list[M]:
        """All messages of one kind so far."""
        while (body := self.take(self._queue)) is not None:
            self.received.append(read_message(body))
        return [message for message in self.received if isinstance(message, kind)]

    def events_of(self, run_id: str) -> list[str]:
        """The type of each event of a run, once each, in their order."""
        found: dict[int, str] = {}
        for message in self.all_of(EventsMessage):
            if message.run.run_id == run_id:
                for profile in message.profiles:
                    for seq, event in enumerate(profile.events, profile.first_seq):
                        found[seq] = event["@type"]
        assert sorted(found) == list(range(len(found)))
        return [found[seq] for seq in sorted(found)]

    def wait_for(self, kind: type[M], count: int = 1, within_s: float = 30) -> list[M]:
        """Wait for that many messages of a kind; returns all of them."""
        wait_until(lambda: len(self.all_of(kind)) >= count, within_s, f"{count} {kind.__name__}")
        return self.all_of(kind)

    def depth(self, queue: str) -> int:
        """The number of messages that are ready in a queue."""
        return int(self._channel.queue_declare(queue, passive=True).method.message_count)


@contextmanager
def broker_client(url: str) -> Iterator[BrokerClient]:
    """A client with a connection of its own."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    connection = pika.BlockingConnection(parameters)
    try:
        yield BrokerClient(connection.channel())
    finally:
        with suppress(pika.exceptions.AMQPError):  # the broker may have been stopped meanwhile
            connection.close()


def publish(url: str, messages: Iterable[Message]) -> None:
    """Publish to the exchange of events; return when all messages are confirmed."""
    _publish(url, [(EVENTS, routing_key(one), one.body(), one.message_id) for one in messages])


def publish_to_queue(url: str, queue: str, bodies: Iterable[bytes]) -> None:
    """Publish straight into a queue, whatever the bodies are; return when all are confirmed."""
    _publish(url, [("", queue, body, "") for body in bodies])


def declare_queues(url: str, *queues: Queue) -> None:
    """Declare queues as services do, with what belongs to them."""

    async def declare_all(link: Connection) -> None:
        await declare(link, queues, is_setup=True)

    _run(url, declare_all)


def queue_depth(url: str, queue: str) -> int:
    """The number of messages that are ready in a queue."""

    async def ask(link: Connection) -> int:
        return (await (await link.channel()).queue_state(queue)).messages

    return _run(url, ask)


def dead_letters_of(url: str, queue: str) -> list[DeadLetter]:
    """The dead letters of a queue."""
    return _run(url, lambda link: dead_letters(link, queue))


def _publish(url: str, messages: Iterable[tuple[str, str, bytes, str]]) -> None:
    async def publish_all(link: Connection) -> None:
        channel = await link.channel(confirms=True)
        await asyncio.gather(*(channel.publish(*message) for message in messages))

    _run(url, publish_all)


def _run(url: str, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
    async def with_connection() -> T:
        async with connection(url, "test") as link:
            return await work(link)

    return asyncio.run(with_connection())
