"""Exchanges, queues and bindings: names, arguments, declaration.

Nobody needs the default exchange, which allows writing into any queue: each queue has a direct exchange for
messages addressed to it, and another one for its dead letters. These route by the queue's name only, so
binding one of them to the exchange of events has no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from taskgen.amqp.channel import Channel
from taskgen.amqp.connection import Connection
from taskgen.errors import CredentialsError, TopologyError
from taskgen.messages.run import OF_RUNS

EVENTS: Final = "taskgen.events"
"""Topic exchange for events of runs and services; keys `<kind>.<board>`."""
COMMANDS: Final = "taskgen.commands"
"""Direct exchange for commands to a board; the key is the board."""
TASKSETS: Final = "taskgen.tasksets"
CONTROLLER: Final = "taskgen.controller"
HANDLERS_DLX: Final = "taskgen.handlers.dlx"
"""Headers exchange for what the broker dead-letters from the queues of handlers.

They share one policy, which cannot name the queue; the header that the broker adds does.
"""
DEFAULT_SINKS: Final = ("sqlite", "csv", "postgres")

_OF_RUNS: Final = tuple(f"{topic}.#" for topic in OF_RUNS)
_QUORUM: Final = {"x-queue-type": "quorum"}
_ONE_AT_A_TIME: Final = {**_QUORUM, "x-single-active-consumer": True}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Binding:
    """Which messages an exchange routes to a queue."""

    exchange: str
    queue: str
    key: str
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue with its dead-letter queue; limits are policies, as arguments cannot change."""

    name: str
    keys: tuple[str, ...] = ()
    """Binding keys of `taskgen.events`."""
    is_single_active_consumer: bool = False
    """Whether one consumer is active at a time and the others stand by."""
    is_of_handler: bool = False
    """Whether its consumer declares it, because its name is not known in advance."""

    @property
    def dead_letters(self) -> str:
        """Name of its dead-letter queue."""
        return dead_letter_queue(self.name)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of its declaration."""
        return dict(_ONE_AT_A_TIME if self.is_single_active_consumer else _QUORUM)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges of this queue alone."""
        return Exchange(inbox(self.name), "direct"), Exchange(dlx(self.name), "direct")

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """Its bindings and those of its dead-letter queue."""
        return (
            *(Binding(EVENTS, self.name, key) for key in self.keys),
            Binding(inbox(self.name), self.name, self.name),
            Binding(dlx(self.name), self.dead_letters, self.dead_letters),
            *([_dead_letters_of_handler(self)] if self.is_of_handler else []),
        )


def dead_letter_queue(queue: str) -> str:
    """Name of a queue's dead-letter queue."""
    return f"{queue}.parked"


def inbox(queue: str) -> str:
    """Name of the exchange for messages addressed to this queue; the key is the queue."""
    return f"{queue}.inbox"


def dlx(queue: str) -> str:
    """Name of a queue's dead-letter exchange; the key is its dead-letter queue."""
    return f"{queue}.dlx"


def sink_queue(name: str) -> Queue:
    """The queue that all replicas of a sink share."""
    return Queue(f"taskgen.sink.{name}", (*_OF_RUNS, "results.#", "quarantined.#"))


def handler_queue(name: str) -> Queue:
    """The queue of a user's handler: processed in order, so by one process at a time."""
    keys = (*_OF_RUNS, "quarantined.#")
    return Queue(f"taskgen.handler.{name}", keys, is_single_active_consumer=True, is_of_handler=True)


def controller_queue() -> Queue:
    """The queue of the controller and its standbys."""
    return Queue(CONTROLLER, (*_OF_RUNS, "refused.#"), is_single_active_consumer=True)


def tasksets_queue() -> Queue:
    """The queue of task-sets that wait for a board; a policy limits its length."""
    return Queue(TASKSETS)


def board_queue(board: str) -> str:
    """Name of the queue that is both a board's inbox and its lease."""
    return f"taskgen.board.{board}"


def all_queues(sinks: Iterable[str] = DEFAULT_SINKS) -> list[Queue]:
    """The queues of a whole lab."""
    return [tasksets_queue(), controller_queue(), *(sink_queue(name) for name in sinks)]


def exchanges(queues: Iterable[Queue]) -> list[Exchange]:
    """The exchanges of every lab, and those of these queues."""
    common = (Exchange(EVENTS, "topic"), Exchange(COMMANDS, "direct"), Exchange(HANDLERS_DLX, "headers"))
    return [*common, *(exchange for queue in queues for exchange in queue.exchanges)]


async def declare(connection: Connection, queues: Sequence[Queue], *, is_setup: bool = False) -> None:
    """Declare exchanges and queues, or check that they exist where this user may not declare them.

    Args:
        connection: to the broker.
        queues: are declared with their exchanges.
        is_setup: whether to check the kinds of existing exchanges, too.

    Raises:
        TopologyError: a queue exists with other arguments.
        CredentialsError: something does not exist, and this user may not declare it.
    """
    declaring = _Declaring(connection)
    for exchange in exchanges(queues):
        if is_setup:
            await (await declaring.channel()).declare_exchange(exchange.name, exchange.kind)
        else:
            await declaring.exchange(exchange)
    for queue in queues:
        await declaring.queue(queue)
    await (await declaring.channel()).close()


class _Declaring:
    """Opens a new channel after each refusal, because the broker closes the old one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None

    async def channel(self) -> Channel:
        if self._channel is None or self._channel.lost.done():
            self._channel = await self._connection.channel()
        return self._channel

    async def exchange(self, exchange: Exchange) -> None:
        try:
            await (await self.channel()).find_exchange(exchange.name)
        except TopologyError:
            try:
                await (await self.channel()).declare_exchange(exchange.name, exchange.kind)
            except CredentialsError as refused:
                raise _missing(f"exchange {exchange.name}", refused) from refused

    async def queue(self, queue: Queue) -> None:
        try:
            await declare_queue(await self.channel(), queue)
        except CredentialsError as refused:
            await self._find(queue, refused)
        else:
            await bind(await self.channel(), queue)

    async def _find(self, queue: Queue, refused: CredentialsError) -> None:
        """Check that a queue exists; whoever may declare it is responsible for its bindings."""
        for name in (queue.name, queue.dead_letters):
            try:
                await (await self.channel()).queue_state(name)
            except TopologyError:
                raise _missing(f"queue {name}", refused) from refused


def _missing(what: str, refused: CredentialsError) -> CredentialsError:
    return CredentialsError(
        f"{what} does not exist, and this user may not declare it: import the definitions, or have an "
        f"administrator run `taskgen setup` ({refused})"
    )


async def declare_queue(channel: Channel, queue: Queue) -> None:
    """Declare a queue and its dead-letter queue.

    Raises:
        TopologyError: one exists with other arguments.
    """
    try:
        await channel.declare_queue(queue.dead_letters, _QUORUM)
        await channel.declare_queue(queue.name, queue.arguments)
    except TopologyError as error:
        raise TopologyError(f"queue {queue.name}: {error}; drain it, then delete it") from error


async def bind(channel: Channel, queue: Queue) -> None:
    """Bind an existing queue and its dead-letter queue to existing exchanges."""
    for one in queue.bindings:
        await channel.bind(one.queue, one.exchange, one.key, one.arguments)


def _dead_letters_of_handler(queue: Queue) -> Binding:
    arguments = {"x-match": "all-with-x", "x-first-death-queue": queue.name}
    return Binding(HANDLERS_DLX, queue.dead_letters, "", arguments)
