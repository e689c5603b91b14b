"""Exchanges, queues and bindings: their names, their arguments, and declaring them.

Nobody has to use the default exchange, through which one can write into any queue: each queue has a direct
exchange for what is meant for it alone, and another one for its dead letters. These route by the queue's name
only, so binding one of them to the exchange of events has no effect.
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
"""Topic exchange: everything that happens; keys `<what>.<board>`."""
COMMANDS: Final = "taskgen.commands"
"""Direct exchange: to one board; key = board."""
TASKSETS: Final = "taskgen.tasksets"
CONTROLLER: Final = "taskgen.controller"
HANDLERS_DLX: Final = "taskgen.handlers.dlx"
"""Headers exchange: what the broker dead-letters from the queues of handlers.

One policy is for all of them, and it cannot say which queue: the header that the broker adds can.
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
    """Which messages an exchange puts into a queue."""

    exchange: str
    queue: str
    key: str
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue with its parking queue; limits come by policy, as arguments never change."""

    name: str
    keys: tuple[str, ...] = ()
    """Of `taskgen.events`."""
    is_single_active_consumer: bool = False
    """One consumer at a time, the others wait as standby."""
    is_of_handler: bool = False
    """Declared by whoever consumes it, so its name is not known beforehand."""

    @property
    def parked(self) -> str:
        """The queue of its messages that could not be understood."""
        return parking(self.name)

    @property
    def arguments(self) -> dict[str, Any]:
        """What it is declared with."""
        return dict(_ONE_AT_A_TIME if self.is_single_active_consumer else _QUORUM)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Those that are for this queue alone."""
        return Exchange(inbox(self.name), "direct"), Exchange(dlx(self.name), "direct")

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """Its own, and those of its parking queue."""
        return (
            *(Binding(EVENTS, self.name, key) for key in self.keys),
            Binding(inbox(self.name), self.name, self.name),
            Binding(dlx(self.name), self.parked, self.parked),
            *([_dead_letters_of_handler(self)] if self.is_of_handler else []),
        )


def parking(queue: str) -> str:
    """Name of a queue's parking queue."""
    return f"{queue}.parked"


def inbox(queue: str) -> str:
    """Name of the exchange for what is meant for this queue alone; key = the queue."""
    return f"{queue}.inbox"


def dlx(queue: str) -> str:
    """Name of a queue's dead-letter exchange; key = its parking queue."""
    return f"{queue}.dlx"


def sink_queue(name: str) -> Queue:
    """The queue that all replicas of a sink share."""
    return Queue(f"taskgen.sink.{name}", (*_OF_RUNS, "quarantined.#"))


def handler_queue(name: str) -> Queue:
    """The queue of a user's own handler: in order, so one process at a time works on it."""
    keys = (*_OF_RUNS, "quarantined.#")
    return Queue(f"taskgen.handler.{name}", keys, is_single_active_consumer=True, is_of_handler=True)


def controller_queue() -> Queue:
    """The queue of the controller, and of those that stand by for it."""
    return Queue(CONTROLLER, (*_OF_RUNS, "refused.#"), is_single_active_consumer=True)


def tasksets_queue() -> Queue:
    """The queue of what waits for a board; its length is limited by policy."""
    return Queue(TASKSETS)


def board_queue(board: str) -> str:
    """Name of the queue that is a board's inbox, and the lease of who serves it."""
    return f"taskgen.board.{board}"


def all_queues(sinks: Iterable[str] = DEFAULT_SINKS) -> list[Queue]:
    """The queues of a whole lab."""
    return [tasksets_queue(), controller_queue(), *(sink_queue(name) for name in sinks)]


def exchanges(queues: Iterable[Queue]) -> list[Exchange]:
    """The exchanges that every lab has, and those of queues."""
    common = (Exchange(EVENTS, "topic"), Exchange(COMMANDS, "direct"), Exchange(HANDLERS_DLX, "headers"))
    return [*common, *(exchange for queue in queues for exchange in queue.exchanges)]


async def declare(connection: Connection, queues: Sequence[Queue], *, is_setup: bool = False) -> None:
    """Make sure that exchanges and queues are there; a user who may not declare them finds them declared.

    Args:
        connection: of the user.
        queues: with their exchanges.
        is_setup: whether to find out, too, that exchanges which are there are of the right kind.

    Raises:
        TopologyError: a queue exists with other arguments.
        CredentialsError: something is not there, and this user may not declare it.
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
    """One channel after the other: what is not there, or not allowed, closes the one that asked."""

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
        """See that a queue is there; its bindings are up to whoever may declare it."""
        for name in (queue.name, queue.parked):
            try:
                await (await self.channel()).queue_state(name)
            except TopologyError:
                raise _missing(f"queue {name}", refused) from refused


def _missing(what: str, refused: CredentialsError) -> CredentialsError:
    return CredentialsError(
        f"there is no {what}, and this user may not declare it: import the definitions, or have an "
        f"administrator run `taskgen setup` ({refused})"
    )


async def declare_queue(channel: Channel, queue: Queue) -> None:
    """Make sure that a queue and its parking queue are there.

    Raises:
        TopologyError: one exists with other arguments.
    """
    try:
        await channel.declare_queue(queue.parked, _QUORUM)
        await channel.declare_queue(queue.name, queue.arguments)
    except TopologyError as error:
        raise TopologyError(
            f"queue {queue.name}: {error}; delete it when it is empty, or let it be drained first"
        ) from error


async def bind(channel: Channel, queue: Queue) -> None:
    """Bind a queue and its parking queue, which are there, as the exchanges are."""
    for one in queue.bindings:
        await channel.bind(one.queue, one.exchange, one.key, one.arguments)


def _dead_letters_of_handler(queue: Queue) -> Binding:
    arguments = {"x-match": "all-with-x", "x-first-death-queue": queue.name}
    return Binding(HANDLERS_DLX, queue.parked, "", arguments)
