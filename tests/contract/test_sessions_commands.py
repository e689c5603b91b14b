"""The traps of the Taskloader's line: what is said in which order, and what an answer looks like."""

import asyncio
from pathlib import Path

from taskgen.boards.taskloader import TaskloaderSession
from taskgen.boards.taskloader_protocol import WORD, Answer, Command
from tests.support.board_sessions import QUICK, receive_rest, talk
from tests.support.profiles import profile_document
from tests.support.scripted_board import BoardConnection, scripted_board
from tests.support.tasksets import two_tasks


def test_the_order_of_commands_is_that_of_the_protocol(tmp_path: Path) -> None:
    (tmp_path / "hey").write_bytes(b"binary")
    (tmp_path / "pi").write_bytes(b"")
    said: list[list[Command]] = []
    held: list[str] = []

    def script(line: BoardConnection) -> None:
        said.append(line.obey_until(Command.START))
        said.append(line.obey_until(Command.AVAILABLE))
        said.append(line.obey_until(Command.START))
        held.extend(line.binaries)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked(), {"optimize": {"goal": {"fairness": {"apply": 1}}}})
        await connected.stop(is_finished=True)
        assert await connected.receive(1) == []
        await connected.start(two_tasks().checked(), {})

    with scripted_board(script) as address:
        talk(address, conversation, binaries=tmp_path)
    a = Command.AVAILABLE
    assert said == [
        [a, Command.CLEAR, a, Command.OPTIMIZE, Command.SEND_DESCS, Command.SEND_BINARIES, Command.START],
        [Command.STOP, Command.CLEAR, a],
        [Command.CLEAR, a, Command.SEND_DESCS, Command.START],
    ]
    assert held == ["hey", "pi"]


def test_an_idle_board_that_answered_is_not_mistaken_for_one_with_an_incomplete_frame() -> None:
    """The answer's four bytes stand alone for a moment: that must not start the clock of a frame."""

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        receiving = asyncio.create_task(connected.receive(None))
        done, _ = await asyncio.wait({receiving}, timeout=3 * QUICK.frame_timeout_s)
        receiving.cancel()
        assert not done

    with scripted_board(script) as address:
        talk(address, conversation)


def test_frames_between_stop_and_the_answer_belong_to_the_run() -> None:
    """JOBS_DONE in a frame of its own, after the handler has said that the run is over."""

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.send_events(("START", 0, 1), ("EXIT", 0, 2))
        assert line.word() == Command.STOP
        line.send_events(("JOBS_DONE", 0, 2))
        line.obey_until(Command.AVAILABLE)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        await connected.receive(5)
        await connected.stop(is_finished=True)
        assert await connected.receive(5) == [profile_document(("JOBS_DONE", 0, 2))]
        assert await connected.receive(5) == []

    with scripted_board(script) as address:
        talk(address, conversation)


def test_an_older_board_that_answers_late_costs_no_frame() -> None:
    """The answer to AVAILABLE comes after the client has given it up, amid the frames of the run."""

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START, is_newer=False)
        line.send_events(("START", 0, 1))
        line.send(WORD.pack(Answer.AVAILABLE))
        line.send_events(("EXIT", 0, 2))
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        await connected.start(two_tasks().checked())
        frames: list[bytes] = []
        while len(frames) < 2:
            frames += await connected.receive(5)
        assert frames == [profile_document(("START", 0, 1)), profile_document(("EXIT", 0, 2))]

    with scripted_board(script) as address:
        talk(address, conversation)


def test_an_answer_between_the_size_and_the_body_of_a_frame_is_taken_as_both() -> None:
    """The newer boards' network front end does not lock its socket."""
    whole = profile_document(("EXIT_EXTERNAL", 0, 1))

    def script(line: BoardConnection) -> None:
        line.obey_until(Command.START)
        line.obey_until(Command.AVAILABLE, is_newer=False)
        line.send(WORD.pack(len(whole)) + WORD.pack(Answer.AVAILABLE) + whole)
        line.obey_until(Command.START)
        line.wait_for_end()

    async def conversation(connected: TaskloaderSession) -> None:
        taskset = two_tasks().checked()
        await connected.start(taskset)
        await connected.stop(is_finished=False)
        assert await receive_rest(connected, taskset) == [("EXIT_EXTERNAL", 0)]
        await connected.start(taskset)

    with scripted_board(script) as address:
        talk(address, conversation)
