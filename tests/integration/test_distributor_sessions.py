"""The distributor and its sessions: what is sent on each, and sessions of another kind."""

import asyncio
from pathlib import Path
from typing import Any

from taskgen.boards.address import Address
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.boards.taskloader_protocol import Command
from taskgen.distributor import Distributor
from taskgen.errors import BoardLostError
from taskgen.run import Outcome
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import profile_document
from tests.support.recording_handler import RecordingHandler
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.tasksets import two_tasks


class InMemory(AbstractSession):
    """Another kind of target: says at once that all tasks have ended."""

    def __init__(self, address: Address, settings: SessionSettings) -> None:
        super().__init__(address, settings)
        self._frames: list[bytes] = []
        self._is_over = asyncio.Event()

    async def connect(self) -> None:
        if self.address.host == "nowhere":
            raise BoardLostError("no such target")

    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        self._is_over.clear()
        for task in taskset:
            assert task.id is not None
            self._frames.append(profile_document(("START", task.id, 1), ("EXIT", task.id, 2)))

    async def receive(self, timeout_s: float | None) -> list[bytes]:
        if not self._frames:
            await self._is_over.wait()
            self._is_over.clear()
        frames, self._frames = self._frames, []
        return frames

    async def stop(self, *, is_finished: bool) -> None:
        self._is_over.set()

    async def reboot(self) -> None:
        pass

    async def close(self) -> None:
        pass


def test_binaries_are_sent_once_per_connection_and_only_those_a_task_set_needs(tmp_path: Path) -> None:
    for name in ("hey", "pi", "linpack", "cond_42"):
        (tmp_path / name).write_bytes(name.encode())
    sent: list[list[str]] = []

    def script(line: BoardConnection) -> None:
        for task_set in range(4):
            line.obey_until(Command.START)
            sent.append(line.binaries)
            line.binaries = []
            if task_set == 2:  # breaks off in the third run: the next connection knows nothing
                return
            line.send_events(*[(kind, n, 1) for n in range(2) for kind in ("START", "EXIT")])
            line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    tasks = TaskSet([Task(pkg=["hey", "linpack"], period=1000), Task(pkg=["pi", "hey"], period=1000)])
    with scripted_board(script) as address, Distributor(address, binaries=tmp_path) as distributor:
        campaign = distributor.start(tasks)
    assert campaign.outcomes == {Outcome.FINISHED: 4, Outcome.BOARD_LOST: 1}
    assert sent == [["hey", "pi"], [], ["linpack"], ["linpack", "pi"], ["hey"]]


def test_session_parameters_reach_the_session(board: str) -> None:
    seen: list[Any] = []

    class Listening(InMemory):
        async def start(self, taskset: TaskSet, *session_params: Any) -> None:
            seen.append(session_params)
            await super().start(taskset, *session_params)

    with Distributor("anywhere", session=Listening) as distributor:
        distributor.start(two_tasks(), {"optimize": 1}, "more")
        distributor.start(two_tasks())
    assert seen == [({"optimize": 1}, "more"), ()]


def test_another_kind_of_target_is_a_class_given_as_session() -> None:
    log = RecordingHandler()
    with Distributor(["nowhere", "somewhere:7"], session=InMemory, event_handler=log) as distributor:
        campaign = distributor.start(two_tasks(priority=[1, 2]))
    assert campaign.outcomes == {Outcome.FINISHED: 2}
    assert {run.board for run in log.ended} == {"somewhere:7"}
