"""Stops runs, cancels waiting task-sets, and reboots boards on a user's request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.connection import Connection
from taskgen.amqp.topology import COMMANDS, EVENTS, TASKSETS, declare, inbox, tasksets_queue
from taskgen.client.status_listener import StatusListener
from taskgen.errors import BrokerUnavailableError, DistributorError, MessageError, UnroutableError
from taskgen.messages.codec import (
    BoardReport,
    DecisionMessage,
    RebootMessage,
    RefusedMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.run import Outcome, new_id, resolve_id

_REASON: Final = "by `taskgen stop`"
_MAX_ROUNDS: Final = 5


@dataclass(slots=True)
class Stopped:
    """The effect of a stop."""

    notified: set[str] = field(default_factory=set)
    """Runs whose distributor was notified."""
    cancelled: int = 0
    """Task-sets that were cancelled while they waited for a board."""
    away: set[str] = field(default_factory=set)
    """Boards with a run whose distributor could not be notified."""


async def stop_one(connection: Connection, part: str) -> Stopped:
    """Stop a run, a task-set or a whole campaign, by its id or by the beginning or end of that.

    Raises:
        SettingsError: several ids begin or end so.
    """
    kinds: dict[str, str] = {}

    def is_meant(waiting: TaskSetMessage) -> bool:
        kinds.update({waiting.taskset_id: "task-set", waiting.campaign_id: "campaign"})
        return part == waiting.taskset_id

    stopped = Stopped()
    async with StatusListener().over(connection) as listener:
        # Waiting task-sets first, or a board that becomes free would take one.
        stopped.cancelled = await cancel_tasksets(connection, is_meant)
        if not stopped.cancelled:
            await listener.heard_of(part)
        for _, board in listener.boards.values():
            kinds.update({board.run_id: "run", board.taskset_id: "task-set", board.campaign_id: "campaign"})
        kinds.pop("", None)
        name = resolve_id(part, kinds)
        if name is None:
            return stopped
        if kinds[name] == "campaign":
            await _stop_many(connection, listener, lambda one: one.campaign_id == name, stopped)
            return stopped
        if name != part:
            stopped.cancelled = await cancel_tasksets(connection, lambda waiting: waiting.taskset_id == name)
        await stop_runs(connection, listener, lambda board: name in {board.run_id, board.taskset_id}, stopped)
    return stopped


async def stop_all(connection: Connection) -> Stopped:
    """Stop all runs and cancel all task-sets that wait."""
    stopped = Stopped()
    async with StatusListener().over(connection) as listener:
        await _stop_many(connection, listener, lambda _: True, stopped)
    return stopped


async def _stop_many(
    connection: Connection,
    listener: StatusListener,
    is_meant: Callable[[TaskSetMessage | BoardReport], bool],
    stopped: Stopped,
) -> None:
    """Cancel waiting task-sets and stop runs until none is found."""
    for _ in range(_MAX_ROUNDS):
        before = len(stopped.notified), stopped.cancelled
        stopped.cancelled += await cancel_tasksets(connection, is_meant)
        await listener.heard_all()  # by then the statuses include task-sets fetched just before
        await stop_runs(connection, listener, is_meant, stopped)
        if (len(stopped.notified), stopped.cancelled) == before:
            break


async def cancel_tasksets(connection: Connection, is_meant: Callable[[TaskSetMessage], bool]) -> int:
    """Take waiting task-sets out of the queue; returns how many.

    The others go round: each is put at the end of the queue before it is taken from its front, so none is
    lost and in the end their order is as it was.

    Raises:
        CredentialsError: there is no queue of task-sets, and this user may not declare it.
        BrokerUnavailableError: the connection broke; nothing is lost.
    """
    await declare(connection, [tasksets_queue()])
    channel = await connection.channel(confirms=True)
    waiting = (await channel.queue_state(TASKSETS)).messages
    count = 0
    for _ in range(waiting):
        delivery = await channel.get(TASKSETS)
        if delivery is None:
            break
        message = _meant(delivery, is_meant)
        if message is None:
            await _pass_round(channel, delivery)
            continue
        refused = RefusedMessage(taskset=message, reason=_REASON, is_called_off=True)
        await channel.publish(EVENTS, refused.routing_key, refused.body(), refused.message_id)
        channel.acknowledge(delivery.tag)
        count += 1
    await channel.close()
    return count


def _meant(delivery: Delivery, is_meant: Callable[[TaskSetMessage], bool]) -> TaskSetMessage | None:
    try:
        message = read_message(delivery.body)
    except MessageError:
        return None  # a distributor will dead-letter it
    return message if isinstance(message, TaskSetMessage) and is_meant(message) else None


async def _pass_round(channel: Channel, delivery: Delivery) -> None:
    name = delivery.message_id or new_id()
    try:
        await channel.publish(inbox(TASKSETS), TASKSETS, delivery.body, name, headers=delivery.headers)
    except BrokerUnavailableError:
        if channel.lost.done():
            raise
        channel.give_back(delivery.tag)  # the queue is full
    else:
        channel.acknowledge(delivery.tag)


async def stop_runs(
    connection: Connection,
    watching: StatusListener,
    is_meant: Callable[[BoardReport], bool],
    stopped: Stopped,
) -> None:
    """Stop the runs that the distributors report in their statuses."""
    channel = await connection.channel(confirms=True)
    for _, board in watching.boards.values():
        if not board.run_id or not is_meant(board):
            continue
        decision = DecisionMessage(run_id=board.run_id, outcome=Outcome.STOPPED_BY_USER, reason=_REASON)
        try:
            await channel.publish(COMMANDS, board.name, decision.body(), decision.message_id)
            stopped.notified.add(board.run_id)
        except UnroutableError:
            stopped.away.add(board.name)
    await channel.close()


async def reboot_board(connection: Connection, board: str) -> None:
    """Reboot a board through its distributor; a run on it is lost and retried.

    Raises:
        DistributorError: no distributor serves it.
    """
    channel = await connection.channel(confirms=True)
    message = RebootMessage(board=board)
    try:
        await channel.publish(COMMANDS, board, message.body(), message.message_id)
    except UnroutableError as error:
        raise DistributorError(f"no distributor serves {board}; `taskgen status` shows the boards") from error
