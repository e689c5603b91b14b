"""The small parts of a simulated board: what it reads, where it listens, how it speaks."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from taskgen.errors import AddressError, SettingsError
from taskgen.event_type import EventType
from taskgen.simulation import frames
from taskgen.simulation.clock import Clock
from taskgen.simulation.dialect import Dialect
from taskgen.simulation.faults import Fault, Faults
from taskgen.simulation.launch import places
from taskgen.simulation.periodic_task import PeriodicTask, read_tasks
from taskgen.simulation.schedule import KNOWN_BINARIES, work
from taskgen.simulation.simulated_board import SimulatedBoard
from taskgen.task import Task
from taskgen.taskset import TaskSet


def test_a_task_set_is_read_from_its_xml_with_all_parameters() -> None:
    parameters = {
        "id": 3,
        "pkg": "pi",
        "executiontime": 12,
        "criticaltime": 30,
        "priority": 128,
        "deadline": 40,
        "period": 50,
        "offset": 5,
        "numberofjobs": 7,
        "quota": "2M",
        "caps": 100,
        "config": {"arg1": 99},
        "cores": 2,
        "coreoffset": 1,
    }
    (task,) = read_tasks(TaskSet([Task(parameters)]).xml())
    assert task == PeriodicTask(
        id=3,
        pkg="pi",
        executiontime=12,
        criticaltime=30,
        priority=128,
        deadline=40,
        period=50,
        offset=5,
        numberofjobs=7,
        quota=2 * 1024 * 1024,
        caps=100,
        cores=2,
        coreoffset=1,
        arg1=99,
    )


def test_a_task_has_the_defaults_of_the_taskloader() -> None:
    (read,) = read_tasks(TaskSet([Task(pkg="hey")]).xml())
    assert read == PeriodicTask.read({"id": 0, "pkg": "hey"})


@pytest.mark.parametrize(
    "document",
    [
        b"<taskset><periodictask><id>0</id></periodictask></taskset>",
        b"<taskset><periodictask><id>x</id><pkg>hey</pkg></periodictask></taskset>",
        b"<taskset><periodictask><id>0</id><pkg>hey</pkg><period>-1</period></periodictask></taskset>",
        b"<taskset><periodictask><id>0</id><pkg>hey</pkg><priority>129</priority></periodictask></taskset>",
        b"<taskset><periodictask><id>0</id><pkg>hey</pkg><quota>much</quota></periodictask></taskset>",
        b"<taskset><periodictask>text</periodictask></taskset>",
        b"<other/>",
    ],
)
def test_an_invalid_task_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_tasks(document)


@pytest.mark.parametrize("pkg", sorted(KNOWN_BINARIES - {"idle", "namaste", "hey"}))
def test_run_times_of_known_binaries_grow_with_arg1(pkg: str) -> None:
    times = [
        work(PeriodicTask(id=0, pkg=pkg, arg1=arg1), 0, 0, ()).run_time_ms for arg1 in (0, 100, 1000, 10000)
    ]
    assert None not in times
    assert times == sorted(times, key=lambda time: time or 0)
    assert times[0] != times[-1]


@pytest.mark.parametrize(
    ("pkg", "arg1", "run_time_ms"),
    [
        ("pi", 2**13, 84),
        ("pi", 2**21, 1_600),
        ("tumatmul", 2**12, 104),
        ("tumatmul", 2**19, 2_700),
        ("tumatmul", 50, 55),
    ],
)
def test_run_times_are_those_that_were_measured_on_real_boards(pkg: str, arg1: int, run_time_ms: int) -> None:
    assert work(PeriodicTask(id=0, pkg=pkg, arg1=arg1), 0, 0, ()).run_time_ms == run_time_ms


def test_the_run_time_of_cond_mod_varies_around_what_was_measured() -> None:
    found = work(PeriodicTask(id=0, pkg="cond_mod", arg1=3**25), 0, 0, ()).run_time_ms
    assert found is not None
    assert 130 <= found <= 156


@pytest.mark.parametrize("pkg", ["idle", "namaste"])
def test_endless_binaries_never_end(pkg: str) -> None:
    assert work(PeriodicTask(id=0, pkg=pkg), 0, 0, ()) == (None, EventType.EXIT)


def test_a_binary_that_was_sent_runs_for_its_execution_time() -> None:
    assert work(PeriodicTask(id=0, pkg="mine", executiontime=17), 0, 0, {"mine"}).run_time_ms == 17


@pytest.mark.parametrize(
    ("listen", "count", "expected"),
    [
        ("127.0.0.1", None, [("127.0.0.1", 3001)]),
        ("127.0.0.1:5000", 3, [("127.0.0.1", 5000), ("127.0.0.1", 5001), ("127.0.0.1", 5002)]),
        ("127.0.0.1:0", 2, [("127.0.0.1", 0), ("127.0.0.1", 0)]),
        ("127.0.10.0/30:7", None, [("127.0.10.1", 7), ("127.0.10.2", 7)]),
        ("127.0.10.0/28", 2, [("127.0.10.1", 3001), ("127.0.10.2", 3001)]),
    ],
)
def test_boards_listen_on_successive_ports_or_addresses(
    listen: str, count: int | None, expected: list[tuple[str, int]]
) -> None:
    assert places(listen, count) == expected


@pytest.mark.parametrize(
    ("listen", "count"),
    [
        ("here", None),
        ("127.0.0.1:x", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:65535", 2),
        ("127.0.10.1/28", None),
        ("127.0.10.0/30", 3),
        ("127.0.0.1", 0),
    ],
)
def test_an_impossible_address_is_refused(listen: str, count: int | None) -> None:
    with pytest.raises(AddressError):
        places(listen, count)


def test_a_fault_strikes_once_and_early() -> None:
    for seed in range(20):
        faults = Faults(["freeze"], seed)
        struck = [faults.strikes(Fault.FREEZE) for _ in range(10)]
        assert struck.count(True) == 1
        assert True in struck[:2]


def test_the_seed_moves_where_a_fault_strikes() -> None:
    assert len({Faults(["freeze"], seed).strikes(Fault.FREEZE) for seed in range(20)}) == 2


def test_a_fault_that_was_not_asked_for_never_strikes() -> None:
    assert not any(Faults(["freeze"], 0).strikes(Fault.HUGE_SIZE) for _ in range(10))


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": ["no-such"]},
        {"dialect": "ancient"},
        {"speed": 0},
        {"speed": float("nan")},
        {"cores": 0},
        {"clock_start": -1},
        {"clock_bits": 16},
    ],
)
def test_a_board_with_a_wrong_setting_is_not_created(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        SimulatedBoard(**wrong)


def test_a_truth_file_that_cannot_be_written_is_known_when_the_board_opens(tmp_path: Path) -> None:
    async def opened() -> None:
        async with SimulatedBoard(truth=tmp_path / "missing" / "truth.jsonl"):
            pass

    with pytest.raises(SettingsError):
        asyncio.run(opened())


def test_time_stamps_wrap_at_32_bits() -> None:
    clock = Clock(2**32 - 10, speed=1, bits=32)
    assert [clock.stamp(2**32 - 1), clock.stamp(2**32 + 4)] == [2**32 - 1, 4]


def test_restarted_time_stamps_continue_from_0() -> None:
    clock = Clock(5000, speed=1, bits=64)
    clock.restart_stamps(6000)
    assert [clock.stamp(6000), clock.stamp(6100)] == [0, 100]


def test_the_clock_never_goes_back() -> None:
    async def times() -> list[int]:
        clock = Clock(100, speed=1000, bits=64)
        await clock.until(140)
        return [clock.now() for _ in range(100)]

    read = asyncio.run(times())
    assert read[0] >= 140
    assert read == sorted(read)


def test_a_profile_is_laid_out_as_real_boards_do() -> None:
    event = {"type": "START", "task-id": "0", "time-stamp": "276427"}
    assert frames.profile([event]) == (
        b"<profile>\n\t<events>\n"
        b'\t\t<event type="START" task-id="0" time-stamp="276427"/>\n'
        b"\t</events>\n</profile>\n\0"
    )


def test_old_boards_do_not_support_the_newer_commands() -> None:
    assert Dialect.OLD.name_of(EventType.JOBS_DONE) is None
    assert Dialect.OLD.name_of(EventType.OUT_OF_CAPS) is EventType.EXIT_ERROR
    assert all(Dialect.NEW.name_of(event_type) is event_type for event_type in EventType)
