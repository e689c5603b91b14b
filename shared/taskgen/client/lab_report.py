"""A lab as its broker shows it: boards, runs, campaigns, queues."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel

from taskgen.amqp.channel import Channel, QueueState
from taskgen.amqp.connection import Connection
from taskgen.amqp.management import find_management
from taskgen.amqp.topology import all_queues, handler_queue, parking, sink_queue
from taskgen.client.status_listener import StatusListener
from taskgen.errors import BrokerError, TopologyError
from taskgen.messages.codec import BoardReport, CampaignReport
from taskgen.runtime.settings import ServiceSettings

log = logging.getLogger(__name__)


class BoardLine(BaseModel):
    """A board, and who has it."""

    report: BoardReport
    distributor: str


class QueueLine(BaseModel):
    """A queue that is there."""

    name: str
    waiting: int
    """Messages ready to be delivered."""
    consumers: int
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


def lab_report(watching: StatusListener, queues: Iterable[QueueLine]) -> LabReport:
    """Put together what was heard and asked."""
    controller = watching.controller
    return LabReport(
        controller=controller.controller if controller else None,
        distributors=[status.distributor for status in watching.distributors],
        boards=[BoardLine(report=board, distributor=owner) for owner, board in watching.boards.values()],
        runs=controller.runs if controller else {},
        bad=controller.bad if controller else 0,
        campaigns=controller.campaigns if controller else [],
        queues=list(queues),
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


async def queue_lines(connection: Connection, others: Iterable[str] = ()) -> list[QueueLine]:
    """The queues of a lab that are there.

    Args:
        connection: for the questions.
        others: names of queues besides those that every lab has.
    """
    asking = _Asking(connection)
    lines = []
    for name in dict.fromkeys((*(queue.name for queue in all_queues()), *others)):
        state, parked = await asking.state(name), await asking.state(parking(name))
        if state is not None:
            count = parked.messages if parked else 0
            lines.append(
                QueueLine(name=name, waiting=state.messages, consumers=state.consumers, parked=count)
            )
    return lines


def other_queues(settings: ServiceSettings) -> list[str]:
    """The names of all sinks' and handlers' queues, if the management API tells them; it blocks."""
    try:
        management = find_management(settings.management_url, settings.amqp_url)
        names = management.queues() if management else {}
    except BrokerError as error:
        log.info("queues of other sinks and handlers are not shown: %s", error)
        return []
    kinds = (sink_queue("").name, handler_queue("").name)
    return sorted(name for name in names if name.startswith(kinds) and not name.endswith(parking("")))
