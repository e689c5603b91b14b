"""A simulated board speaks the protocol of docs/taskloader.md, section 1, as a real one does."""

import asyncio
import gc
import json
import socket
import struct
import threading
from pathlib import Path

import pytest
import xmltodict

from taskgen.boards.taskloader_protocol import Command, binary, command
from taskgen.errors import AddressError
from taskgen.simulation import SimulatedBoard, run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.board_client import (
    AVAILABLE,
    FAST,
    GO_SEND,
    board_client,
    client_of_new_board,
    without_time_stamps,
)


def test_a_task_set_runs_and_its_events_come_with_the_boards_time() -> None:
    with client_of_new_board(clock_start=500) as one:
        one.start(Task(pkg="hey", period=100, numberofjobs=2))
        events = one.until(("JOBS_DONE", "0"))
    assert [kind for kind, _, _ in events] == ["START", "EXIT", "START", "EXIT", "JOBS_DONE"]
    start = events[0][2]
    assert start >= 500
    assert [stamp - start for _, _, stamp in events] == [0, 2, 100, 102, 102]


def test_events_of_one_instant_share_a_frame() -> None:
    with client_of_new_board(dialect="old") as one:
        one.start(Task(pkg="hey"), Task(pkg="hey", coreoffset=1))
        assert without_time_stamps(one.events()) == [("START", "0"), ("START", "1")]


def test_a_frame_is_its_size_the_document_and_a_nul_that_the_size_counts() -> None:
    with client_of_new_board() as one:
        one.start(Task(pkg="hey"))
        assert one.frame().endswith(b"</profile>\n\0")


def test_each_binary_is_asked_for_with_a_go_send_and_is_run_then() -> None:
    with client_of_new_board() as one:
        one.send(command(Command.SEND_BINARIES) + struct.pack("<I", 2))
        for name in ("first", "second"):
            assert one.read(4) == GO_SEND
            assert one.is_silent()
            one.send(binary(name, b"\x7fELF" * 1000))
        one.start(
            *(Task(pkg=name, executiontime=5, coreoffset=n) for n, name in enumerate(["first", "second"]))
        )
        events = one.until(("JOBS_DONE", "0"), ("JOBS_DONE", "1"))
    assert {("EXIT", "0"), ("EXIT", "1")} <= set(without_time_stamps(events))


def test_a_binary_that_was_never_sent_ends_with_an_error() -> None:
    with client_of_new_board() as one:
        one.start(Task(pkg="mine"))
        assert ("EXIT_ERROR", "0") in without_time_stamps(one.until(("JOBS_DONE", "0")))


def test_stop_kills_what_runs() -> None:
    with client_of_new_board(dialect="old") as one:
        one.start(Task(pkg="idle"), Task(pkg="namaste", coreoffset=1), Task(pkg="idle"))
        assert without_time_stamps(one.events()) == [("START", str(number)) for number in range(3)]
        one.say(Command.STOP)
        assert without_time_stamps(one.events()) == [("EXIT_EXTERNAL", str(number)) for number in range(3)]


def test_after_a_stop_the_tasks_can_be_started_again() -> None:
    with client_of_new_board(dialect="old") as one:
        one.start(Task(pkg="idle"))
        one.until(("START", "0"))
        one.say(Command.STOP)
        one.until(("EXIT_EXTERNAL", "0"))
        one.say(Command.START)
        assert without_time_stamps(one.events()) == [("START", "0")]


def test_clear_kills_what_runs_and_forgets_the_tasks_but_not_the_binaries() -> None:
    with client_of_new_board() as one:
        one.send(command(Command.SEND_BINARIES) + struct.pack("<I", 1))
        assert one.read(4) == GO_SEND
        one.send(binary("mine", b"x"))
        one.start(Task(pkg="idle"), Task(pkg="hey", coreoffset=1))
        one.until(("JOBS_DONE", "1"))
        one.say(Command.CLEAR)
        assert without_time_stamps(one.events()) == [("EXIT_EXTERNAL", "0")]
        one.start(Task(id=5, pkg="mine"))
        assert without_time_stamps(one.until(("JOBS_DONE", "5"))) == [
            ("START", "5"),
            ("EXIT", "5"),
            ("JOBS_DONE", "5"),
        ]


def test_descriptions_add_up_until_the_next_clear() -> None:
    with client_of_new_board() as one:
        one.say(Command.SEND_DESCS, TaskSet([Task(id=0, pkg="hey")]).xml())
        one.say(Command.SEND_DESCS, TaskSet([Task(id=1, pkg="hey")]).xml())
        one.say(Command.START)
        one.until(("JOBS_DONE", "0"), ("JOBS_DONE", "1"))


@pytest.mark.parametrize("document", [b"", b"no XML", b"<taskset>", b"<other/>", b"\xff\xfe"])
def test_a_malformed_task_set_is_ignored_and_the_connection_continues(document: bytes) -> None:
    with client_of_new_board() as one:
        one.say(Command.SEND_DESCS, document)
        one.start(Task(pkg="hey"))
        one.until(("JOBS_DONE", "0"))


def test_admission_control_data_is_accepted() -> None:
    with client_of_new_board() as one:
        one.say(Command.OPTIMIZE, b"<optimize><goal/></optimize>")
        one.start(Task(pkg="hey"))
        one.until(("JOBS_DONE", "0"))


def test_a_new_board_answers_available_and_an_old_one_ignores_it() -> None:
    with client_of_new_board(dialect="new") as one:
        one.say(Command.AVAILABLE)
        assert one.read(4) == AVAILABLE
    with client_of_new_board(dialect="old") as one:
        one.say(Command.AVAILABLE)
        assert one.is_silent()


def test_an_old_board_does_not_report_that_a_task_has_no_job_left() -> None:
    with client_of_new_board(dialect="old") as one:
        one.start(Task(pkg="hey", period=20, numberofjobs=2))
        assert (
            without_time_stamps(one.events() + one.events() + one.events() + one.events())
            == [
                ("START", "0"),
                ("EXIT", "0"),
            ]
            * 2
        )
        assert one.is_silent()


def test_an_old_board_answers_a_snapshot() -> None:
    with client_of_new_board(dialect="old") as one:
        one.start(Task(pkg="idle"))
        one.until(("START", "0"))
        one.say(Command.GET_PROFILE)
        assert without_time_stamps(one.events()) == [("EXTERNAL", "-1")]


def test_a_board_answers_a_live_frame() -> None:
    with client_of_new_board() as one:
        one.start(Task(pkg="idle"), Task(pkg="hey", coreoffset=1))
        one.until(("JOBS_DONE", "1"))
        one.say(Command.GET_LIVE)
        live = xmltodict.parse(one.frame().rstrip(b"\0"))
    tasks = [{"@id": "0", "@state": "running"}, {"@id": "1", "@state": "idle"}]
    assert live == {"live": {"task": tasks}}


def test_a_reboot_closes_the_connection_forgets_binaries_and_restarts_the_clock() -> None:
    with run_boards(speed=1.0, clock_start=10**9) as (address,):
        with board_client(address) as one:
            one.send(command(Command.SEND_BINARIES) + struct.pack("<I", 1))
            assert one.read(4) == GO_SEND
            one.send(binary("mine", b"x"))
            one.say(Command.REBOOT)
            with pytest.raises(EOFError):
                one.read(1)
        with board_client(address) as one:
            one.start(Task(pkg="mine"))
            events = one.until(("JOBS_DONE", "0"))
            assert all(stamp < 10**9 for _, _, stamp in events)
            assert ("EXIT_ERROR", "0") in without_time_stamps(events)


def test_a_second_client_waits_until_the_first_has_gone() -> None:
    with (
        run_boards(speed=FAST) as (address,),
        board_client(address) as first,
        board_client(address) as second,
    ):
        second.say(Command.AVAILABLE)
        first.say(Command.AVAILABLE)
        assert first.read(4) == AVAILABLE
        assert second.is_silent()
        first._socket.close()
        assert second.read(4) == AVAILABLE


def test_a_task_set_runs_on_without_its_client_and_the_next_client_gets_the_rest(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with run_boards(speed=10, truth=truth) as (address,):
        with board_client(address) as one:
            one.start(Task(pkg="hey", period=10, numberofjobs=0), Task(pkg="idle", coreoffset=1))
            first = one.until(("EXIT", "0"))
        with board_client(address) as one:
            rest = one.until(("START", "0"), ("EXIT", "0"))
            one.say(Command.STOP)
            rest += one.until(("EXIT_EXTERNAL", "1"))
            assert one.is_silent()
            one.say(Command.START)  # the tasks are still there
            again = one.until(("START", "0"), ("START", "1"))
    assert rest[0][2] > first[-1][2]
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    said = [(line["@type"], line["@task-id"], int(line["@time-stamp"])) for line in lines]
    assert said[: len(first)] == first
    late = [(line["connection"], line["run"], line.get("late")) for line in lines]
    assert set(late[: len(first)]) == {(1, 1, None)}
    begin = said.index(rest[0])
    assert said[begin : begin + len(rest)] == rest
    assert set(late[begin : begin + len(rest)]) == {(2, 1, "earlier-client")}
    begin = said.index(again[0])
    assert set(late[begin:]) == {(2, 2, None)}


def test_a_clear_of_the_next_client_ends_and_forgets_what_an_earlier_one_has_started() -> None:
    with run_boards(speed=FAST) as (address,):
        with board_client(address) as one:
            one.start(Task(pkg="hey", period=10, numberofjobs=0))
            one.until(("START", "0"))
        with board_client(address) as one:
            one.say(Command.CLEAR)
            one.say(Command.AVAILABLE)
            one.until_available()
            one.say(Command.START)
            assert one.is_silent()


def test_a_task_set_that_never_ends_runs_until_it_is_stopped() -> None:
    with client_of_new_board() as one:
        one.start(Task(pkg="hey", period=10, numberofjobs=0))
        for _ in range(200):
            one.events()
        one.say(Command.STOP)
        one.say(Command.AVAILABLE)
        one.until_available()
        assert one.is_silent()


def test_a_client_that_does_not_read_holds_the_board_back_and_can_disconnect() -> None:
    with run_boards(speed=1e6) as (address,):
        with board_client(address) as one:
            one.start(Task(pkg="hey", period=3, numberofjobs=0))
            one.until(("START", "0"))
        with board_client(address) as one:
            one.say(Command.CLEAR)
            one.say(Command.AVAILABLE)
            one.until_available()


def test_the_same_seed_gives_the_same_schedule_to_two_boards() -> None:
    def run(seed: int) -> list[tuple[str, str, int]]:
        with client_of_new_board(seed=seed) as one:
            one.start(Task(pkg="cond_42", period=900, numberofjobs=3, config={"arg1": 800}))
            events = one.until(("JOBS_DONE", "0"))
        return [(kind, task_id, stamp - events[0][2]) for kind, task_id, stamp in events]

    assert run(1) == run(1)
    assert len({tuple(run(seed)) for seed in range(4)}) > 1


def test_the_truth_has_every_event_that_was_sent(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with run_boards(truth=truth, speed=FAST) as (address,), board_client(address) as one:
        one.start(Task(pkg="hey", period=50, numberofjobs=3), Task(pkg="pi", coreoffset=1))
        heard = one.until(("JOBS_DONE", "0"), ("JOBS_DONE", "1"))
    # The boards are closed by now, so the file is complete.
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    assert [(line["@type"], line["@task-id"], int(line["@time-stamp"])) for line in lines] == heard
    assert {(line["board"], line["connection"], line["run"]) for line in lines} == {(address, 1, 1)}


def test_a_taken_port_is_an_address_error() -> None:
    with run_boards() as (address,), pytest.raises(AddressError, match=address), run_boards(listen=address):
        pass


def test_many_boards_share_one_thread() -> None:
    before = threading.active_count()
    with run_boards(200, speed=FAST) as addresses:
        assert threading.active_count() == before + 1
        assert len(set(addresses)) == 200
        for address in addresses[::50]:
            with board_client(address) as one:
                one.say(Command.AVAILABLE)
                assert one.read(4) == AVAILABLE


def test_time_stamps_wrap_on_a_board_of_32_bits() -> None:
    with client_of_new_board(clock_start=2**32 - 1, clock_bits=32) as one:
        one.start(Task(pkg="hey"))
        events = one.until(("JOBS_DONE", "0"))
    assert all(stamp < 2**31 for _, _, stamp in events)


@pytest.mark.parametrize("steps", range(8))
def test_a_board_that_is_closed_while_a_client_connects_leaves_no_socket_open(steps: int) -> None:
    async def connect() -> None:
        async with SimulatedBoard() as one:
            host, port = one.address.split(":")
            await asyncio.sleep(0)
            with socket.create_connection((host, int(port))):
                for _ in range(steps):
                    await asyncio.sleep(0)

    asyncio.run(connect())
    gc.collect()  # would warn of an open socket


def test_a_board_can_be_used_inside_a_loop_and_closes_with_a_client_connected() -> None:
    async def answer() -> bytes:
        async with SimulatedBoard(speed=FAST) as one:
            host, port = one.address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(command(Command.AVAILABLE))
            said = await reader.readexactly(4)
        assert await reader.read() == b""
        writer.close()
        return said

    assert asyncio.run(answer()) == AVAILABLE
