"""Exchanges, queues and bindings: their names, their arguments, and declaring them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from taskgen.amqp.channel import Channel
from taskgen.errors import TopologyError

EVENTS: Final = "taskgen.events"
"""Topic exchange: everything that happens; keys `<what>.<board>`."""
COMMANDS: Final = "taskgen.commands"
"""Direct exchange: to one board; key = board."""
TASKSETS: Final = "taskgen.tasksets"
CONTROLLER: Final = "taskgen.controller"
DEFAULT_SINKS: Final = ("sqlite", "csv", "postgres")

_OF_RUNS: Final = ("started.#", "events.#", "finished.#", "stopped.#")
_QUORUM: Final = {"x-queue-type": "quorum"}
_ONE_AT_A_TIME: Final = {**_QUORUM, "x-single-active-consumer": True}


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue with its parking queue; limits come by policy, as arguments never change."""

    name: str
    keys: tuple[str, ...] = ()
    """Of `taskgen.events`."""
    is_exclusive_by_turns: bool = False
    """One consumer at a time, the others wait as standby."""

    @property
    def parked(self) -> str:
        """The queue of its messages that could not be understood."""
        return parking(self.name)

    @property
    def arguments(self) -> dict[str, Any]:
        """What it is declared with."""
        return dict(_ONE_AT_A_TIME if self.is_exclusive_by_turns else _QUORUM)


def parking(queue: str) -> str:
    """Name of a queue's parking queue."""
    return f"{queue}.parked"


def sink_queue(name: str) -> Queue:
    """The queue that all replicas of a sink share."""
    return Queue(f"taskgen.sink.{name}", (*_OF_RUNS, "quarantined.#"))


def handler_queue(name: str) -> Queue:
    """The queue of a user's own handler: in order, so one process at a time works on it."""
    return Queue(f"taskgen.handler.{name}", (*_OF_RUNS, "quarantined.#"), is_exclusive_by_turns=True)


def controller_queue() -> Queue:
    """The queue of the controller, and of those that stand by for it."""
    return Queue(CONTROLLER, (*_OF_RUNS, "refused.#"), is_exclusive_by_turns=True)


def tasksets_queue() -> Queue:
    """The queue of what waits for a board; its length is limited by policy."""
    return Queue(TASKSETS)


def board_queue(board: str) -> str:
    """Name of the queue that is a board's inbox, and the lease of who serves it."""
    return f"taskgen.board.{board}"


def all_queues(sinks: Iterable[str] = DEFAULT_SINKS) -> list[Queue]:
    """The queues of a whole lab."""
    return [tasksets_queue(), controller_queue(), *(sink_queue(name) for name in sinks)]


async def declare(channel: Channel, queues: Iterable[Queue]) -> None:
    """Make sure that the exchanges and these queues are there, bound; doing it again changes nothing.

    Raises:
        TopologyError: a queue exists with other arguments.
    """
    await channel.declare_exchange(EVENTS, "topic")
    await channel.declare_exchange(COMMANDS, "direct")
    for queue in queues:
        try:
            await channel.declare_queue(queue.parked, _QUORUM)
            await channel.declare_queue(queue.name, queue.arguments)
        except TopologyError as error:
            raise TopologyError(
                f"queue {queue.name}: {error}; delete it when it is empty, or let it be drained first"
            ) from error
        for key in queue.keys:
            await channel.bind(queue.name, EVENTS, key)
