"""What a service does with messages, and the half of its host that works in one thread of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from taskgen.amqp.channel import Channel, Delivery
from taskgen.errors import MessageError
from taskgen.messages.codec import Message, read_message


class Processor(Protocol):
    """Takes messages in batches. All but `committed` are called in one worker thread, one at a time."""

    def check(self) -> None:
        """See that a batch could be committed now; called before messages are asked for.

        Each message that is held when the process dies comes closer to its delivery limit, so none is held
        for a store that does not take writes.

        Raises:
            StoreUnavailableError: not now; it will be called again after a pause.
        """

    def begin(self) -> None:
        """A batch begins.

        Raises:
            StoreUnavailableError: not now; it will be called again after a pause.
        """

    def take(self, message: Message, delivery: Delivery) -> None:
        """Take one message; nothing of it needs to last before `commit`.

        Raises:
            MessageError: it cannot be understood, is to be parked, and has changed nothing.
            StoreUnavailableError: not now; the batch will be abandoned and begun again after a pause.
        """

    def commit(self) -> None:
        """Make the batch last.

        Raises:
            StoreUnavailableError: not now; it will be called again after a pause, with nothing in between.
        """

    def abandon(self) -> None:
        """Forget the batch: everything taken since `begin` will be delivered again."""

    async def committed(self, channel: Channel) -> None:
        """Publish what follows from a commit: called in the loop before the messages are acknowledged.

        Args:
            channel: confirms; of another connection than the one that consumes.
        """


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """A message that is to be parked, and why."""

    delivery: Delivery
    reason: str


@dataclass(slots=True)
class BatchResult:
    """What became of the messages of a batch."""

    taken: list[Message] = field(default_factory=list)
    poison: list[RejectedMessage] = field(default_factory=list)


class Batches:
    """Gives a processor its batches; to be used in the worker thread only."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._is_open = False

    def check(self) -> None:
        """See that a batch could be committed now."""
        self._processor.check()

    def fill(self, deliveries: Sequence[Delivery]) -> BatchResult:
        """Begin a batch and give it messages; on an error it is abandoned."""
        self._begin()
        try:
            filled = BatchResult()
            for delivery in deliveries:
                self._take(delivery, filled)
        except BaseException:
            self.abandon()
            raise
        return filled

    def commit(self) -> None:
        """Commit the batch; on an error it stays open."""
        self._processor.commit()
        self._is_open = False

    def abandon(self) -> None:
        """Abandon the batch, if there is one."""
        if self._is_open:
            self._is_open = False
            self._processor.abandon()

    def _begin(self) -> None:
        self._is_open = True
        try:
            self._processor.begin()
        except BaseException:
            self._is_open = False
            raise

    def _take(self, delivery: Delivery, filled: BatchResult) -> None:
        try:
            message = read_message(delivery.body)
            self._processor.take(message, delivery)
        except MessageError as error:
            filled.poison.append(RejectedMessage(delivery, str(error)))
        else:
            filled.taken.append(message)
