"""What holds for every kind of session: the same tests for each."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskgen.boards.address import Address, parse_addresses
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.errors import BoardLostError
from taskgen.loading.import_string import load_session
from taskgen.simulation import Dialect, run_boards
from taskgen.taskset import TaskSet
from tests.support.board_sessions import (
    QUICK,
    quick_session,
    read_events,
    receive_rest,
    receive_until,
)
from tests.support.documented_target import DOCUMENTED_SESSION
from tests.support.profiles import profile_document
from tests.support.tasksets import endless_and_short_task, two_tasks


class MemorySession(AbstractSession):
    """A target in memory: each task starts at once, and ends at once unless its binary is `idle`."""

    def __init__(self, address: Address, settings: SessionSettings) -> None:
        super().__init__(address, settings)
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        self._running: list[int] = []
        self._is_connected = self._is_stopping = False

    async def connect(self) -> None:
        if self.address.host == "nowhere":
            raise BoardLostError("there is no such target")
        self._is_connected = True

    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        self._check()
        for task in taskset:
            assert task.id is not None
            self._said.put_nowait(profile_document(("START", task.id, 0)))
            if task["pkg"] == "idle":
                self._running.append(task.id)
            else:
                self._said.put_nowait(profile_document(("EXIT", task.id, 1)))

    async def receive(self, timeout_s: float | None) -> list[bytes]:
        self._check()
        if self._is_stopping and self._said.empty():
            self._is_stopping = False
            return []
        try:
            async with asyncio.timeout(timeout_s):
                return [await self._said.get()]
        except TimeoutError as error:
            raise BoardLostError(f"silent for {timeout_s} s") from error

    async def stop(self, *, is_finished: bool) -> None:
        self._check()
        self._is_stopping = True
        for task_id in self._running:
            self._said.put_nowait(profile_document(("EXIT_EXTERNAL", task_id, 2)))
        self._running = []

    async def reboot(self) -> None:
        self._is_connected = False

    async def close(self) -> None:
        self._is_connected = False

    def _check(self) -> None:
        if not self._is_connected:
            raise BoardLostError("not connected")


class SessionContract:
    """The tests; a class below gives the session and its target."""

    def test_a_run_is_received_to_its_end_and_another_can_follow(
        self, session_to: Callable[[], AbstractSession]
    ) -> None:
        async def main() -> None:
            async with session_to() as session:
                for _ in range(2):
                    taskset = two_tasks().checked()
                    await session.start(taskset)
                    events = await receive_until(session, lambda t: t.is_terminated, taskset)
                    assert sorted(events) == [("EXIT", 0), ("EXIT", 1), ("START", 0), ("START", 1)]
                    await session.stop(is_finished=True)
                    assert await receive_rest(session, taskset) == []
                assert session.unsolicited == []

        asyncio.run(main())

    def test_jobs_killed_by_a_stop_are_reported_before_the_end(
        self, session_to: Callable[[], AbstractSession]
    ) -> None:
        async def main() -> None:
            async with session_to() as session:
                for _ in range(2):
                    taskset = endless_and_short_task().checked()
                    await session.start(taskset)
                    is_running = lambda t: next(iter(t)).jobs  # noqa: E731
                    assert ("START", 0) in await receive_until(session, is_running, taskset)
                    await session.stop(is_finished=False)
                    assert ("EXIT_EXTERNAL", 0) in await receive_rest(session, taskset)

        asyncio.run(main())

    def test_a_silent_target_is_lost(self, session_to: Callable[[], AbstractSession]) -> None:
        async def main() -> None:
            async with session_to() as session:
                taskset = endless_and_short_task().checked()
                await session.start(taskset)
                has_ended = lambda t: list(t)[1].is_terminated  # noqa: E731
                await receive_until(session, has_ended, taskset)
                with pytest.raises(BoardLostError):
                    await session.receive(0.05)

        asyncio.run(main())

    def test_a_cancelled_receive_loses_nothing(self, session_to: Callable[[], AbstractSession]) -> None:
        async def main() -> None:
            async with session_to() as session:
                taskset = two_tasks().checked()
                await session.start(taskset)
                events: list[Any] = []
                while not taskset.is_terminated:
                    receiving = asyncio.create_task(session.receive(10))
                    await asyncio.wait({receiving}, timeout=0.001)
                    receiving.cancel()
                    await asyncio.wait({receiving})
                    if not receiving.cancelled():
                        events += read_events(receiving.result(), taskset, session)
                assert len(events) == 4

        asyncio.run(main())

    def test_an_unreachable_target_is_lost_at_once(self, nowhere: AbstractSession) -> None:
        async def main() -> None:
            with pytest.raises(BoardLostError):
                async with nowhere:
                    pass

        asyncio.run(main())

    def test_a_closed_session_cannot_be_used(self, session_to: Callable[[], AbstractSession]) -> None:
        async def main() -> None:
            async with session_to() as session:
                await session.start(two_tasks().checked())
            await session.close()
            with pytest.raises(BoardLostError):
                await session.start(two_tasks().checked())

        asyncio.run(main())


class TestMemorySession(SessionContract):
    """A session of a user's own."""

    @pytest.fixture
    def session_to(self) -> Callable[[], AbstractSession]:
        return lambda: MemorySession(Address("somewhere", 1), QUICK)

    @pytest.fixture
    def nowhere(self) -> AbstractSession:
        return MemorySession(Address("nowhere", 1), QUICK)


class TestDocumentedSession(SessionContract):
    """The example of docs/targets.md against its target."""

    @pytest.fixture
    def session_to(self, documented_target: str) -> Callable[[], AbstractSession]:
        (address,) = parse_addresses(documented_target)
        return lambda: load_session(DOCUMENTED_SESSION)(address, QUICK)

    @pytest.fixture
    def nowhere(self, documented_target: str) -> AbstractSession:
        return load_session(DOCUMENTED_SESSION)(Address("127.0.0.1", 1), QUICK)


@pytest.mark.parametrize("dialect", list(Dialect), scope="class")
class TestTaskloaderSession(SessionContract):
    """The Taskloader's session against simulated boards of every generation."""

    @pytest.fixture
    def session_to(self, dialect: str) -> Iterator[Callable[[], AbstractSession]]:
        with run_boards(speed=100, dialect=dialect) as (address,):
            yield lambda: quick_session(address)

    @pytest.fixture
    def nowhere(self, dialect: str) -> AbstractSession:
        return quick_session("127.0.0.1:1")
