"""Sessions with boards, and ways to hold a conversation over them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from taskgen.boards.address import parse_addresses
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.boards.taskloader import TaskloaderSession
from taskgen.taskset import TaskSet

QUICK = SessionSettings(connect_timeout_s=2, frame_timeout_s=0.3, answer_timeout_s=5, probe_timeout_s=0.3)


async def receive_until(
    session: AbstractSession, is_done: Callable[[TaskSet], bool], taskset: TaskSet
) -> list[tuple[str, int]]:
    """Receive, and apply to the task-set, until it is done; returns type and task of each event."""
    events: list[tuple[str, int]] = []
    while not is_done(taskset):
        events += read_events(await session.receive(10), taskset, session)
    return events


async def receive_rest(
    session: AbstractSession, taskset: TaskSet, silence_s: float = 10
) -> list[tuple[str, int]]:
    """Receive what comes after a stop, as `receive_until` does."""
    events: list[tuple[str, int]] = []
    while frames := await session.receive(silence_s):
        events += read_events(frames, taskset, session)
    return events


def read_events(frames: list[bytes], taskset: TaskSet, session: AbstractSession) -> list[tuple[str, int]]:
    """Apply frames to the task-set; returns type and task of each event but `JOBS_DONE`."""
    events: list[tuple[str, int]] = []
    for frame in frames:
        parsed, _ = session.decode_checked(frame)
        taskset.apply(parsed)
        events += [(e["@type"], int(e["@task-id"])) for e in parsed["profile"]["events"]["event"]]
    return [event for event in events if event[0] != "JOBS_DONE"]


def quick_session(address: str, **more: Any) -> TaskloaderSession:
    """A session with short timeouts, not connected yet; `more` are other settings."""
    (parsed,) = parse_addresses(address)
    known = {name: getattr(QUICK, name) for name in ("connect_timeout_s", "frame_timeout_s")}
    known |= {"answer_timeout_s": 5.0, "probe_timeout_s": 0.3}
    return TaskloaderSession(parsed, SessionSettings(**(known | more)))


def talk(
    address: str, conversation: Callable[[TaskloaderSession], Coroutine[Any, Any, None]], **more: Any
) -> None:
    """Connect to a board, hold a conversation with it, and close."""

    async def main() -> None:
        async with quick_session(address, **more) as connected:
            await conversation(connected)

    asyncio.run(main())
