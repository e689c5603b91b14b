"""The handlers' thread: its order, and that nothing ends it but closing."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from taskgen.boards.limits import Limits
from taskgen.boards.profile import read_profile
from taskgen.event import DefaultEventHandler, Profile, Quarantined, Stop
from taskgen.execution.dispatcher import Dispatcher
from taskgen.execution.run_inbox import RunInbox
from taskgen.run import Outcome, Run
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.profiles import profile_document


class Names(DefaultEventHandler):
    """Writes down which run began and ended, and how often which events came between."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.quarantined: list[Quarantined] = []

    def __taskset_start__(self, taskset: TaskSet) -> None:
        self.seen.append("start")

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        self.seen += [one["@type"] for one in event["profile"]["events"]["event"]]
        return super().__taskset_event__(taskset, event)

    def __taskset_quarantine__(self, taskset: TaskSet | None, quarantined: Quarantined) -> None:
        self.quarantined.append(quarantined)

    def __taskset_stop__(self, taskset: TaskSet) -> None:
        self.seen.append("stop")


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    made = Dispatcher(Limits())
    yield made
    made.close()


def test_a_run_that_begins_while_a_new_handler_is_pending_is_passed_to_it(
    dispatcher: Dispatcher,
) -> None:
    may_go_on, handler = threading.Event(), Names()
    taskset = TaskSet([Task(pkg="hey")])
    taskset.run = Run("board:1")

    async def run() -> None:
        inbox = RunInbox(dispatcher, taskset, partial(read_profile, limits=dispatcher.limits))
        may_go_on.set()
        await inbox.end(Outcome.STOPPED_BY_USER)

    dispatcher.submit(lambda: _wait(may_go_on))
    dispatcher.use([handler])
    asyncio.run(run())
    assert handler.seen == ["start", "stop"]


def test_an_internal_error_in_that_thread_is_logged_and_ends_nothing(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a fault of our own")

    dispatcher.submit(fail)
    asyncio.run(dispatcher.caught_up())
    assert "a fault of our own" in caplog.text


async def _run(dispatcher: Dispatcher, *reads: list[bytes]) -> None:
    """A run in which these frames are read."""
    taskset = TaskSet([Task(pkg="hey")])
    taskset.run = Run("board:1")
    inbox = RunInbox(dispatcher, taskset, partial(read_profile, limits=dispatcher.limits))
    for frames in reads:
        await asyncio.wait_for(inbox.put(frames), 30)
    await inbox.end(Outcome.STOPPED_BY_USER)


def test_a_frame_with_an_unexpected_error_is_kept_and_counted_and_harms_no_other() -> None:
    """Nested deeper than Python recurses, where a limit that was set too high lets it through."""
    deep = b"<event>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</event>"
    frame = b"<profile><events>" + deep + b"</events></profile>"
    dispatcher, handler = Dispatcher(Limits(depth=30_000)), Names()
    try:
        dispatcher.use([handler])
        asyncio.run(
            _run(
                dispatcher,
                *[[profile_document(("START", 0, 1)), frame, profile_document(("EXIT", 0, 2))]] * 4,
            )
        )
        failures = dispatcher.handlers.failures
    finally:
        dispatcher.close()
    assert handler.seen == ["start", *["START", "EXIT"] * 4, "stop"]
    assert [one.data for one in handler.quarantined] == [frame] * 4
    assert all("internal error" in one.reason for one in handler.quarantined)
    assert sum(failures.values()) == 4


def test_empty_frames_also_wait_for_handlers_that_are_behind(dispatcher: Dispatcher) -> None:
    may_go_on = threading.Event()
    taskset = TaskSet([Task(pkg="hey")])
    taskset.run = Run("board:1")

    async def run() -> None:
        inbox = RunInbox(dispatcher, taskset, partial(read_profile, limits=dispatcher.limits))
        putting = asyncio.create_task(inbox.put([b""] * 10_000))
        await asyncio.sleep(0)
        assert not putting.done()
        may_go_on.set()
        await asyncio.wait_for(putting, 30)

    dispatcher.submit(lambda: _wait(may_go_on))
    try:
        asyncio.run(run())
    finally:
        may_go_on.set()


def test_a_flood_of_invalid_data_does_not_fill_the_log(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Names()
    dispatcher.use([handler])
    asyncio.run(_run(dispatcher, [b"", b"\xff", *[b"<root%d/>" % number for number in range(400)]] * 2))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 4
    assert "not a profile: the root element is <root0>; others of this kind are only counted" in messages[2]
    assert "in total: 2 times not XML, 2 times not ASCII, 800 times not a profile" in messages[3]
    assert dispatcher.counters.quarantined == len(handler.quarantined) == 804


def test_quarantined_data_is_logged_anew_for_each_run_and_each_idle_board(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        asyncio.run(_run(dispatcher, [b""]))
        for board in ("board:1", "board:2"):
            for _ in range(3):
                dispatcher.quarantine_unsolicited(b"", board, "late")
    dispatcher.close()
    messages = [record.getMessage().partition(";")[0] for record in caplog.records]
    late, total = "quarantined 0 bytes: late", "quarantined in total: 3 times late"
    assert [text for text in messages if "late" not in text] == [
        "board:1: quarantined 0 bytes: not XML: no element found: line 1, column 0"
    ] * 2
    assert [text for text in messages if text.startswith("board:1") and "late" in text] == [
        f"board:1: {late}",
        f"board:1: {total}",
    ] * 2
    assert [text for text in messages if text.startswith("board:2")] == [
        f"board:2: {late}",
        "board:2: quarantined in total: 6 times late",
    ]


def _wait(event: threading.Event) -> None:
    event.wait(30)
