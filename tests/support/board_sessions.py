"""What the tests of the sessions share: task-sets, and ways to hold a conversation."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from taskgen.boards.address import parse_addresses
from taskgen.boards.profile import read_profile
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.boards.taskloader import TaskloaderSession
from taskgen.task import Task
from taskgen.taskset import TaskSet

QUICK = SessionSettings(connect_timeout_s=2, frame_timeout_s=0.3, answer_timeout_s=5, probe_timeout_s=0.3)


def finite() -> TaskSet:
    return TaskSet([Task(pkg="hey"), Task(pkg="pi")]).checked()


def endless() -> TaskSet:
    return TaskSet([Task(pkg="idle")]).checked()


async def told(session: AbstractSession, until: Callable[[TaskSet], bool], taskset: TaskSet) -> list[Any]:
    """Receive until the task-set is as wanted; returns (type, task) of each event."""
    events: list[Any] = []
    while not until(taskset):
        events += read_events(await session.receive(10), taskset)
    return events


async def rest(session: AbstractSession, taskset: TaskSet) -> list[Any]:
    """Receive what comes after a stop."""
    events: list[Any] = []
    while frames := await session.receive(10):
        events += read_events(frames, taskset)
    return events


def read_events(frames: list[bytes], taskset: TaskSet) -> list[Any]:
    events: list[Any] = []
    for frame in frames:
        parsed, _ = read_profile(frame)
        taskset.apply(parsed)
        events += [(e["@type"], int(e["@task-id"])) for e in parsed["profile"]["events"]["event"]]
    return [event for event in events if event[0] != "JOBS_DONE"]


def session(address: str, **more: Any) -> TaskloaderSession:
    (parsed,) = parse_addresses(address)
    known = {name: getattr(QUICK, name) for name in ("connect_timeout_s", "frame_timeout_s")}
    known |= {"answer_timeout_s": 5.0, "probe_timeout_s": 0.3}
    return TaskloaderSession(parsed, SessionSettings(**(known | more)))


def talk(
    address: str, conversation: Callable[[TaskloaderSession], Coroutine[Any, Any, None]], **more: Any
) -> None:
    """Hold a conversation with a scripted board."""

    async def main() -> None:
        async with session(address, **more) as connected:
            await conversation(connected)

    asyncio.run(main())
