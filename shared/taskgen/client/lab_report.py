"""A lab as its broker shows it: boards, runs, campaigns, queues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from taskgen.amqp.channel import Channel, QueueState
from taskgen.amqp.connection import Connection
from taskgen.amqp.management import Management, QueueCounts, find_management
from taskgen.amqp.topology import TASKSETS, all_queues, handler_queue, parking, sink_queue
from taskgen.client.status_listener import StatusListener
from taskgen.errors import BrokerError, BrokerUnavailableError, TopologyError
from taskgen.messages.codec import BoardReport, CampaignReport
from taskgen.runtime.settings import ServiceSettings

_OTHERS: Final = (sink_queue("").name, handler_queue("").name)
"""How the names of queues begin that not every lab has."""


class BoardLine(BaseModel):
    """A board, and who has it."""

    report: BoardReport
    distributor: str
    silent_s: float = 0
    """Seconds since the distributor last reported."""


class QueueLine(BaseModel):
    """A queue that is there."""

    name: str
    ready: int
    """Messages that are to be delivered."""
    held: int | None
    """Messages that a consumer has and has not acknowledged; None: unknown."""
    consumers: int
    lacks_consumer: bool
    """Whether nobody takes its messages: that of task-sets is asked for single ones instead."""
    parked: int
    """Messages that its consumer could not understand."""


class LabReport(BaseModel):
    """A lab at one moment."""

    controller: str | None
    """The active one; None: none has said anything."""
    distributors: list[str]
    boards: list[BoardLine]
    runs: dict[str, int]
    """How many by outcome; `running` are the ones without."""
    bad: int
    """Task-sets that were given up."""
    campaigns: list[CampaignReport]
    queues: list[QueueLine]
    held_unknown: str = ""
    """Why nobody knows how many messages are held."""


def lab_report(watching: StatusListener, queues: Iterable[QueueLine], held_unknown: str = "") -> LabReport:
    """Put together what was heard and asked."""
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
    """A channel for questions; one about a queue that is not there closes it."""

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
    """The queues of a lab as they are asked for again and again.

    What is held only the management API tells, a few seconds late; its numbers of the ready ones then are
    taken as well, so that no message is missing in both. All else is asked by AMQP.

    Args:
        settings: where broker and management API are.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._management: Management | None = None
        self._is_found = False
        self._others: set[str] = set()

    async def lines(self, connection: Connection) -> tuple[list[QueueLine], str]:
        """The queues that are there, those of all sinks and handlers too where the management API tells them.

        Returns:
            The lines, and why it is not known what is held.
        """
        try:
            counts = await asyncio.to_thread(self._counts)
        except BrokerError as error:
            return await self._lines(connection, {}), str(error)
        lines = await self._lines(connection, counts)
        is_known = all(line.held is not None for line in lines)
        return lines, "" if is_known else "the broker has not counted all of it yet"

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
        others = sorted(name for name in self._others if not name.endswith(parking("")))
        for name in dict.fromkeys((*(queue.name for queue in all_queues()), *others)):
            state, parked = await asking.state(name), await asking.state(parking(name))
            if state is not None:
                lines.append(_line(state, parked, *counts.get(name, (None, None))))
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
