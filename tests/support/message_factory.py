"""Messages of made-up runs, as a distributor would publish them, and publishing them by the thousand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from taskgen.amqp import topology
from taskgen.amqp.connection import connection
from taskgen.amqp.dead_letters import Parked, parked_messages
from taskgen.events.verify import verify
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    Message,
    ProfileOfRun,
    RunHead,
    StartedMessage,
    TaskSetMessage,
)
from taskgen.run import Outcome, new_id, now
from taskgen.task import Task
from tests.support.waiting import wait_until

BOARD = "127.0.10.1:3001"


def head(**more: Any) -> RunHead:
    fields = {"board": BOARD, "attempt": 1, "variant": 0, "started_at": now(), "distributor": "test"}
    return RunHead(run_id=new_id(), taskset_id=new_id(), **fields | more)


def events(run: RunHead, first_seq: int, count: int) -> EventsMessage:
    """A profile of so many events."""
    found = [
        {"@type": "START" if seq % 2 == 0 else "EXIT", "@task-id": "0", "@time-stamp": str(10 * seq)}
        for seq in range(first_seq, first_seq + count)
    ]
    profile = {"profile": {"events": {"event": found}}}
    return EventsMessage(
        run=run, profiles=[ProfileOfRun(first_seq=first_seq, received_at=now(), profile=profile)]
    )


def started(run: RunHead) -> StartedMessage:
    task = Task(pkg="hey", id=0, period=10, numberofjobs=1000)
    return StartedMessage(run=run, taskset=TaskSetMessage(taskset_id=run.taskset_id, tasks=[dict(task)]))


def ended(run: RunHead, count: int, outcome: Outcome = Outcome.FINISHED) -> EndedMessage:
    return EndedMessage(run=run, ended_at=now(), outcome=outcome, events=count)


def whole_run(profiles: int = 5, size: int = 2) -> list[Message]:
    """A run from its start to its end."""
    run = head()
    return [
        started(run),
        *(events(run, number * size, size) for number in range(profiles)),
        ended(run, profiles * size),
    ]


def key(message: Message) -> str:
    match message:
        case StartedMessage():
            return f"started.{message.run.board}"
        case EventsMessage():
            return f"events.{message.run.board}"
        case EndedMessage():
            kind = "finished" if message.outcome is Outcome.FINISHED else "stopped"
            return f"{kind}.{message.run.board}"
        case _:
            return f"quarantined.{BOARD}"


def publish(url: str, messages: Iterable[Message]) -> None:
    """Publish to the exchange of events, all confirmed in the end."""
    asyncio.run(_publish(url, [(topology.EVENTS, key(one), one.body(), one.message_id) for one in messages]))


def publish_raw(url: str, queue: str, bodies: Iterable[bytes]) -> None:
    """Publish straight into a queue, whatever it is."""
    asyncio.run(_publish(url, [("", queue, body, "") for body in bodies]))


async def _publish(url: str, messages: list[tuple[str, str, bytes, str]]) -> None:
    async with connection(url, "test") as link:
        channel = await link.channel(confirms=True)
        await asyncio.gather(
            *(channel.publish(exchange, key, body, name) for exchange, key, body, name in messages)
        )


def declare(url: str, *queues: topology.Queue) -> None:
    async def work() -> None:
        async with connection(url, "test") as link:
            await topology.declare(await link.channel(), queues)

    asyncio.run(work())


def depth(url: str, queue: str) -> int:
    """How many messages are ready in a queue."""

    async def ask() -> int:
        async with connection(url, "test") as link:
            return (await (await link.channel()).queue_state(queue)).messages

    return asyncio.run(ask())


def parked(url: str, queue: str) -> list[Parked]:
    async def ask() -> list[Parked]:
        async with connection(url, "test") as link:
            return await parked_messages(link, queue)

    return asyncio.run(ask())


def wait_stored(ended: int, *specs: str, within_s: float = 60) -> None:
    """Wait until so many runs have ended in the stores, which then are complete and agree."""

    def is_stored() -> bool:
        report = verify(specs)
        return report.is_clean and (report.ended, report.not_ended) == (ended, 0)

    wait_until(is_stored, within_s, f"{ended} runs, whole, in {specs}")
