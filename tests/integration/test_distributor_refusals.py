"""What the distributor refuses before it touches any board."""

import socket
from pathlib import Path
from typing import Any

import pytest

from taskgen.distributor import Distributor
from taskgen.errors import AddressError, DistributorError, SettingsError, TaskSetError
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.recording_handler import RecordingHandler


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"boards": "not an address"}, AddressError),
        ({"boards": []}, AddressError),
        ({"boards": None}, AddressError),
        ({"boards": [5]}, AddressError),
        ({"max_attempts": 0}, SettingsError),
        ({"max_attempts": "3"}, SettingsError),
        ({"max_attempts": 2.5}, SettingsError),
        ({"power_after_s": "x"}, SettingsError),
        ({"binaries": "no/such/folder"}, SettingsError),
        ({"power_on_command": "switch {nothing}"}, SettingsError),
        ({"power_on_command": "switch {port.foo}"}, SettingsError),
        ({"power_on_command": "switch {port[0]}"}, SettingsError),
        ({"power_cycle_command": 5}, SettingsError),
        ({"power_cycle_command": ""}, SettingsError),
        ({"power_cycle_command": "an 'open quote"}, SettingsError),
        ({"event_handler": "no handler"}, DistributorError),
        ({"event_handler": [RecordingHandler(), 3]}, DistributorError),
        ({"event_handler": 3}, DistributorError),
        ({"event_handler": []}, DistributorError),
        ({"event_handler": RecordingHandler}, DistributorError),
        ({"silence_timeout_s": 0}, SettingsError),
        ({"run_timeout_s": -1.0}, SettingsError),
        ({"connect_timeout_s": float("nan")}, SettingsError),
        ({"longest_pause_s": "60"}, SettingsError),
    ],
)
def test_a_wrong_argument_is_refused_when_the_distributor_is_created(
    keywords: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Distributor(**({"boards": "127.0.10.1"} | keywords))


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"pkg": "missing"}, "pkg: there is no binary 'missing'"),
        ({"pkg": ["hey", "missing"]}, "pkg: there is no binary 'missing'"),
        ({"pkg": "a/b"}, "pkg: 'a/b' is not"),
        ({"pkg": "../hey"}, "pkg:"),
        ({"pkg": "x" * 16}, "pkg:"),
        ({}, "pkg: missing"),
        ({"pkg": "hey", "quota": "1 MB"}, "quota:"),
        ({"pkg": "hey", "period": -1}, "period:"),
        ({"pkg": "hey", "period": []}, "period: an empty choice"),
        ({"pkg": "hey", "perriod": 1}, "perriod: unknown parameter"),
        ({"pkg": "hey", "config": {"@a": {"b": 1}}}, "config:"),
    ],
)
def test_a_task_set_that_cannot_run_is_refused_before_any_board_is_touched(
    tmp_path: Path, task: dict[str, Any], field: str
) -> None:
    (tmp_path / "hey").write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as board:
        board.setblocking(False)
        address = "{}:{}".format(*board.getsockname())
        with Distributor(address, binaries=tmp_path) as distributor:
            with pytest.raises(TaskSetError) as raised:
                distributor.start([TaskSet([Task(pkg="hey")]), TaskSet([Task(task)])])
            assert f"task 0 (id 0): {field}" in str(raised.value)
        with pytest.raises(BlockingIOError):
            board.accept()


@pytest.mark.parametrize(
    "given", [None, 3, "tasks.json", Task(pkg="hey"), [Task(pkg="hey")], [], iter([]), iter([3])]
)
def test_an_object_that_is_not_a_task_set_is_refused_with_a_hint(given: Any) -> None:
    with (
        Distributor("127.0.10.1") as distributor,
        pytest.raises(TaskSetError, match=r"is not a task-set; give|no task-set given"),
    ):
        distributor.start(given)
