"""A report on a lab, from statuses and the broker: boards, runs, campaigns, queues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from taskgen.amqp.channel import Channel, QueueState
from taskgen.amqp.connection import Connection
from taskgen.amqp.management import Management, QueueCounts, find_management
from taskgen.amqp.topology import TASKSETS, all_queues, dead_letter_queue, handler_queue, sink_queue
from taskgen.client.status_listener import StatusListener
from taskgen.errors import BrokerError, BrokerUnavailableError, TopologyError
from taskgen.messages.codec import BoardReport, CampaignReport
from taskgen.runtime.settings import ServiceSettings

_OTHERS: Final = (sink_queue("").name, handler_queue("").name)
"""Prefixes of queues that not every lab has."""


class BoardLine(BaseModel):
    """A board and its owner."""

    report: BoardReport
    distributor: str
    silent_s: float = 0
    """Seconds since the distributor last reported."""


class QueueLine(BaseModel):
    """A queue that exists."""

    name: str
    ready: int
    """Messages ready for delivery."""
    held: int | None
    """Messages delivered but not acknowledged; None if unknown."""
    consumers: int
    lacks_consumer: bool
    """Whether it has no consumer; always false for the queue of task-sets, which are fetched one by one."""
    parked: int
    """Its dead letters."""


class LabReport(BaseModel):
    """The state of a lab at one moment."""

    controller: str | None
    """The active controller; None if none has reported."""
    distributors: list[str]
    boards: list[BoardLine]
    runs: dict[str, int]
    """Number of runs by outcome; `running` are those without."""
    bad: int
    """Number of failed task-sets."""
    campaigns: list[CampaignReport]
    queues: list[QueueLine]
    held_unknown: str = ""
    """Why the numbers of held messages are unknown; empty if they are known."""


def lab_report(watching: StatusListener, queues: Iterable[QueueLine], held_unknown: str = "") -> LabReport:
    """Build the report from statuses and queues."""
    controller = watching.controller
    return LabReport(
        controller=controller.controller if controller else None,
        distributors=[status.distributor for status in watching.distributors],
        boards=[
            BoardLine(report=board, distributor=owner, silent_s=round(watching.silent_s(owner), 1))
            for owner, board in watching.boards.values()
        ],
        runs=controller.runs if controller else {},
        bad=controller.bad if controller else 0,
        campaigns=controller.campaigns if controller else [],
        queues=list(queues),
        held_unknown=held_unknown,
    )


@dataclass(slots=True)
class _Asking:
    """A channel for asking about queues; the broker closes it after a question about a missing queue."""

    connection: Connection
    channel: Channel | None = None

    async def state(self, name: str) -> QueueState | None:
        """None if there is no such queue."""
        if self.channel is None:
            self.channel = await self.connection.channel()
        try:
            return await self.channel.queue_state(name)
        except TopologyError:
            self.channel = None
            return None


class QueueCounting:
    """Asks for the queues of a lab repeatedly.

    Only the management API reports held messages, a few seconds late; its numbers of ready ones are then
    used as well, so that no message is missing from both. Everything else comes from AMQP.

    Args:
        settings: where broker and management API are.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._management: Management | None = None
        self._is_found = False
        self._others: set[str] = set()

    async def lines(self, connection: Connection) -> tuple[list[QueueLine], str]:
        """The queues that exist; those of all sinks and handlers only if the management API answers.

        Returns:
            The lines, and why it is not known what is held.
        """
        try:
            counts = await asyncio.to_thread(self._counts)
        except BrokerError as error:
            return await self._lines(connection, {}), str(error)
        lines = await self._lines(connection, counts)
        is_known = all(line.held is not None for line in lines)
        return lines, "" if is_known else "the broker has not counted all messages yet"

    def _counts(self) -> dict[str, QueueCounts]:
        if not self._is_found:
            self._management = find_management(self._settings.management_url, self._settings.amqp_url)
            self._is_found = True
        if self._management is None:
            raise BrokerUnavailableError("no management API was found; give --management-url")
        counts = self._management.queues()
        self._others |= {name for name in counts if name.startswith(_OTHERS)}
        return counts

    async def _lines(self, connection: Connection, counts: Mapping[str, QueueCounts]) -> list[QueueLine]:
        asking = _Asking(connection)
        lines = []
        others = sorted(name for name in self._others if not name.endswith(dead_letter_queue("")))
        for name in dict.fromkeys((*(queue.name for queue in all_queues()), *others)):
            state, letters = await asking.state(name), await asking.state(dead_letter_queue(name))
            if state is not None:
                lines.append(_line(state, letters, *counts.get(name, (None, None))))
        return lines


def _line(state: QueueState, parked: QueueState | None, ready: int | None, held: int | None) -> QueueLine:
    return QueueLine(
        name=state.name,
        ready=state.messages if ready is None or held is None else ready,
        held=held,
        consumers=state.consumers,
        lacks_consumer=not state.consumers and state.name != TASKSETS,
        parked=parked.messages if parked else 0,
    )
