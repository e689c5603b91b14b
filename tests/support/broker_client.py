"""What tests say and hear on the broker, in plain blocking calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError

from taskgen.amqp.topology import COMMANDS, EVENTS, TASKSETS
from taskgen.messages.codec import Message, TaskSetMessage, read_message
from taskgen.taskset import TaskSet
from tests.support.waiting import wait_until

M = TypeVar("M")


class Wire:
    """One channel; hears everything of the exchange of events from its making on."""

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
        self.heard: list[Message] = []

    def hear_from(self, queue: str) -> Self:
        """Hear what a queue gets that outlives this connection, and the broker."""
        self._queue = queue
        self._channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        self._channel.queue_bind(queue, EVENTS, "#")
        return self

    def hear_only(self, *kinds: str) -> Self:
        """Hear these kinds of messages, and no others any more."""
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

    def delete(self, queue: str) -> None:
        """Delete a queue, whoever uses it."""
        self._channel.queue_delete(queue)

    def declare_elsewhere(self, name: str) -> None:
        """Declare an exchange and a queue that are not the lab's."""
        self._channel.exchange_declare(name, "fanout")
        self._channel.queue_declare(name)
        self._channel.queue_bind(name, name)

    def serve(self, board: str) -> None:
        """Hold a board's lease, as a distributor does."""
        queue = self._channel.queue_declare(f"taskgen.board.{board}", exclusive=True).method.queue
        self._channel.queue_bind(queue, COMMANDS, board)

    def listen(self) -> list[Message]:
        """All that was said so far."""
        while True:
            method, _, body = self._channel.basic_get(self._queue, auto_ack=True)
            if method is None or body is None:
                return self.heard
            self.heard.append(read_message(body))

    def all_of(self, kind: type[M]) -> list[M]:
        """All that was said so far of one kind."""
        return [message for message in self.listen() if isinstance(message, kind)]

    def wait_for(self, kind: type[M], count: int = 1, within_s: float = 30) -> list[M]:
        """Wait until so many of a kind were said."""
        wait_until(lambda: len(self.all_of(kind)) >= count, within_s, f"{count} {kind.__name__}")
        return self.all_of(kind)

    def depth(self, queue: str) -> int:
        """How many messages a queue has ready."""
        return int(self._channel.queue_declare(queue, passive=True).method.message_count)


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """A connection of the test's own."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    connection = pika.BlockingConnection(parameters)
    try:
        yield Wire(connection.channel())
    finally:
        connection.close()
