"""The `AssignmentSource` of a distributor: fetches a task-set from the queue for each free board."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection
from taskgen.amqp.dead_letters import dead_letter
from taskgen.amqp.reconnect import until_lost
from taskgen.amqp.topology import TASKSETS, declare, tasksets_queue
from taskgen.boards.binaries import check_binaries
from taskgen.errors import BrokerUnavailableError, MessageError, TaskSetError
from taskgen.execution.assignment import Assignment, AssignmentSource
from taskgen.messages.codec import RefusedMessage, StartedMessage, TaskSetMessage, read_message
from taskgen.run import Run
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

log = logging.getLogger(__name__)

_EMPTY_PAUSE_S: Final = 0.25
_MAX_HELD_S: Final = 60.0
"""How long a task-set waits for a board that has not lost it before; the broker would wait 30 minutes."""


@dataclass(slots=True)
class _Taken(Assignment):
    """A task-set that was fetched but not acknowledged, and its delivery."""

    tag: int = 0
    channel: Channel | None = None
    since: float = 0.0


class TaskSetSource(AssignmentSource):
    """Fetches one task-set for each free board, and acknowledges it when the start of its run is confirmed.

    Args:
        binaries: folder with the binaries of the tasks, if they have to be sent.
        has_others: whether this distributor has a usable board besides the given ones.
        lost: a future that fails when the lease of a board is lost.
        refuse: publishes that a task-set cannot be run.
    """

    def __init__(
        self,
        binaries: Path | None,
        has_others: Callable[[Collection[str]], bool],
        lost: Callable[[str], asyncio.Future[None]],
        refuse: Callable[[RefusedMessage], None],
    ) -> None:
        self._binaries = binaries
        self._has_others = has_others
        self._lost = lost
        self._refuse = refuse
        self._waiting: dict[str, asyncio.Future[Assignment]] = {}
        self._is_wanted = asyncio.Event()
        self._is_closed = False
        self._held: list[_Taken] = []
        self._unconfirmed: dict[str, _Taken] = {}
        """By the id of the message whose confirm allows the acknowledgement."""
        self._running: dict[tuple[str, int], str] = {}
        """Run ids, by task-set and attempt."""

    async def serve(self, connection: Connection) -> None:
        """Fetch task-sets over this connection until it breaks; those not begun then go back to the queue.

        Raises:
            BrokerError: the connection is lost.
        """
        await declare(connection, [tasksets_queue()])
        channel = await connection.channel(confirms=True)
        try:
            while True:
                await until_lost(self._is_wanted.wait(), channel.lost)
                self._hand_out()
                if self._is_closed or not self._waiting:
                    self._is_wanted.clear()
                elif not await self._fetch(channel):
                    await until_lost(asyncio.sleep(_EMPTY_PAUSE_S), channel.lost)
        finally:
            self._held.clear()

    def close(self) -> None:
        """Fetch no more; what is held goes back to the queue when the connection ends."""
        self._is_closed = True

    @override
    async def take(self, board: str) -> Assignment:
        """Wait for a task-set for a board; raises `BoardLeasedError` when its lease is lost."""
        turn: asyncio.Future[Assignment] = asyncio.get_running_loop().create_future()
        lost = self._lost(board)
        ends: set[asyncio.Future[Any]] = {turn, lost}
        self._waiting[board] = turn
        self._is_wanted.set()
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if turn.done():
                self.give_back(turn.result())
            raise
        finally:
            self._waiting.pop(board, None)
        if lost.done():
            if turn.done():
                self.give_back(turn.result())
            await lost
        return turn.result()

    @override
    def give_back(self, assignment: Assignment) -> None:
        if isinstance(assignment, _Taken) and assignment.channel is not None:
            _unless_broken(assignment.channel.give_back, assignment.tag)

    @override
    def refused(self, assignment: Assignment, reason: str) -> None:
        if isinstance(assignment, _Taken) and isinstance(assignment.origin, TaskSetMessage):
            self._publish_refusal(assignment.origin, reason, assignment)

    @override
    def begun(self, assignment: Assignment, run: Run) -> None:
        """From the confirm of its start on, the controller is responsible for the task-set."""
        if isinstance(assignment, _Taken):
            self._unconfirmed[StartedMessage.id_of(run.run_id)] = assignment
            self._running[assignment.taskset_id, assignment.attempt.number] = run.run_id

    @override
    def ended(self, assignment: Assignment, run: Run) -> None:
        """The controller learns of the end from events, and decides on another attempt."""
        self._running.pop((assignment.taskset_id, assignment.attempt.number), None)

    @override
    def boards_changed(self) -> None:
        self._hand_out()

    def confirmed(self, message_id: str) -> None:
        """The broker has confirmed a message: acknowledge the task-set that depended on it."""
        taken = self._unconfirmed.pop(message_id, None)
        if taken is not None and taken.channel is not None:
            _unless_broken(taken.channel.acknowledge, taken.tag)

    async def _fetch(self, channel: Channel) -> bool:
        """Fetch one task-set, if there is one."""
        delivery = await channel.get(TASKSETS)
        if delivery is None:
            return False
        try:
            self._take_over(delivery, channel)
        except MessageError as error:
            await dead_letter(channel, TASKSETS, delivery, str(error))
            channel.acknowledge(delivery.tag)
        return True

    def _take_over(self, delivery: Delivery, channel: Channel) -> None:
        message = read_message(delivery.body)
        if not isinstance(message, TaskSetMessage):
            raise MessageError(f"a {message.kind} is not a task-set")
        if self._is_running_already(message, delivery.tag, channel):
            return
        try:
            taskset = message.taskset()
            check_binaries(taskset, self._binaries)
            taskset.xml()
        except TaskSetError as error:
            self._publish_refusal(message, str(error), _Taken(TaskSet(), tag=delivery.tag, channel=channel))
            return
        self._held.append(
            _Taken(
                taskset,
                tuple(message.session_params),
                message.variant,
                message.history,
                message.taskset_id,
                origin=message,
                tag=delivery.tag,
                channel=channel,
                since=time.monotonic(),
            )
        )
        self._hand_out()

    def _publish_refusal(self, message: TaskSetMessage, reason: str, taken: _Taken) -> None:
        """Have a refusal published; the task-set is acknowledged when the broker has confirmed it."""
        refused = RefusedMessage(taskset=message, reason=brief(reason))
        self._unconfirmed[refused.message_id] = taken
        self._refuse(refused)

    def _is_running_already(self, message: TaskSetMessage, tag: int, channel: Channel) -> bool:
        """Whether this is a redelivery after a lost connection, of a task-set that is being run."""
        run_id = self._running.get((message.taskset_id, message.attempt))
        if run_id is None:
            return False
        taken = self._unconfirmed.get(StartedMessage.id_of(run_id))
        if taken is None:
            channel.acknowledge(tag)
        else:
            taken.tag, taken.channel = tag, channel
        return True

    def _hand_out(self) -> None:
        """Assign held task-sets to waiting boards, preferably to boards that have not lost them before."""
        for taken in [] if self._is_closed else list(self._held):
            free = [board for board, turn in self._waiting.items() if not turn.done()]
            fresh = [board for board in free if taken.attempt.prefers(board)]
            held_s = time.monotonic() - taken.since
            is_patient = held_s < _MAX_HELD_S and self._has_others(taken.attempt.tried)
            chosen = fresh or ([] if is_patient else free)
            if chosen:
                self._held.remove(taken)
                self._waiting[chosen[0]].set_result(taken)


def _unless_broken(tell: Callable[[int], None], tag: int) -> None:
    """Acknowledge or return a delivery; a broken channel has returned it already."""
    try:
        tell(tag)
    except BrokerUnavailableError as error:
        log.info("a task-set will be redelivered: %s", error)
