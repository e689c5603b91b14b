"""A user's own handler behind a queue is called as in one process, also after a restart in the middle."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from taskgen.amqp.topology import handler_queue
from tests.support.broker_client import dead_letters_of, declare_queues, publish, publish_to_queue
from tests.support.command_line import run_taskgen
from tests.support.message_factory import BOARD, events_message, run_head, whole_run
from tests.support.message_factory import ended_message as end_of
from tests.support.message_factory import started_message as start_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

_DOCUMENT = Path(__file__).parents[2] / "docs" / "handlers-as-services.md"
QUEUE = handler_queue("mine")
HANDLER = """
import json
from taskgen.event import DefaultEventHandler

class Mine(DefaultEventHandler):
    def note(self, what, taskset, **more):
        jobs = [len(task.jobs) for task in taskset]
        call = {"what": what, "run": taskset.run.run_id, "jobs": jobs, **more}
        with open("calls.jsonl", "a") as file:
            file.write(json.dumps(call) + "\\n")

    def __taskset_start__(self, taskset):
        self.note("start", taskset, pkgs=[task["pkg"] for task in taskset])

    def __taskset_event__(self, taskset, event):
        running = super().__taskset_event__(taskset, event)
        self.note("event", taskset, first_seq=taskset.run.first_seq)
        return running

    def __taskset_finish__(self, taskset):
        self.note("finish", taskset, events=taskset.run.events)

    def __taskset_stop__(self, taskset):
        self.note("stop", taskset)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(HANDLER)
    return tmp_path


@pytest.fixture
def arguments(amqp_vhost_url: str) -> list[str]:
    declare_queues(amqp_vhost_url, QUEUE)
    return ["handle", "own:Mine", "--name", "mine", "--http-port", "0", "--amqp-url", amqp_vhost_url]


def recorded_calls(folder: Path) -> list[dict[str, Any]]:
    file = folder / "calls.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def until_told(folder: Path, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(recorded_calls(folder)) >= count, 30, f"{count} calls")
    return recorded_calls(folder)


@contextmanager
def handling(arguments: list[str], folder: Path, name: str = "log") -> Iterator[Popen[bytes]]:
    """The service, once it consumes or stands by; gone at the end."""
    log = folder / name
    with log.open("wb") as file:
        service = Popen([sys.executable, "-m", "taskgen", *arguments], cwd=folder, stderr=file)
    try:
        wait_until(lambda: "consuming: ok" in log.read_text(), 30, "the handler to consume")
        yield service
    finally:
        service.kill()
        service.wait()


def stop(service: Popen[bytes]) -> None:
    """Ask it to end, and wait for that."""
    service.terminate()
    assert service.wait(timeout=30) == 0


def test_a_handler_is_called_in_order_with_the_jobs_filled(
    amqp_vhost_url: str, folder: Path, arguments: list[str]
) -> None:
    run = whole_run(3, 2)
    publish(amqp_vhost_url, [run[0], run[3], run[2], run[1], run[4], run[1]])
    with handling(arguments, folder) as service:
        calls = until_told(folder, 5)
        stop(service)
    assert [call["what"] for call in calls] == ["start", "event", "event", "event", "finish"]
    assert [call["jobs"] for call in calls] == [[0], [1], [2], [3], [3]]
    assert calls[0]["pkgs"] == ["hey"]
    assert [call["first_seq"] for call in calls[1:4]] == [0, 2, 4]
    assert calls[4]["events"] == 6


def test_a_handler_killed_in_the_middle_of_a_run_finds_its_jobs_again(
    amqp_vhost_url: str, folder: Path, arguments: list[str]
) -> None:
    run = run_head()
    publish(amqp_vhost_url, [start_of(run), events_message(run, 0, 2), events_message(run, 2, 1)])
    with handling(arguments, folder) as service:
        until_told(folder, 3)
        service.kill()
    with handling(arguments, folder) as service:
        publish(amqp_vhost_url, [events_message(run, 3, 1), end_of(run, 4)])
        wait_until(lambda: recorded_calls(folder)[-1]["what"] == "finish", 30, "the end of the run")
        stop(service)
    calls = recorded_calls(folder)
    assert calls[-1]["jobs"] == [2]
    # A crash between the handler's calls and the commit has the batch handled again, from its beginning.
    seqs = [call["first_seq"] for call in calls if call["what"] == "event"]
    assert seqs in ([0, 2, 3], [0, 2, 2, 3], [0, 2, 0, 2, 3])


def test_the_worked_example_runs_as_it_is_written(
    amqp_vhost_url: str, folder: Path, arguments: list[str]
) -> None:
    text = _DOCUMENT.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "alarms:MissedDeadlines --name alarms" in text
    (folder / "alarms.py").write_text(code)
    publish(amqp_vhost_url, whole_run(2))
    with handling(["handle", "alarms:MissedDeadlines", *arguments[2:]], folder) as service:
        said = folder / "alarms.txt"
        wait_until(said.exists, 30, "the first line")
        stop(service)
    assert said.read_text() == f"{BOARD}: variant 0 finished after 2 jobs\n"


def test_poison_is_dead_lettered_and_the_handler_continues(
    amqp_vhost_url: str, folder: Path, arguments: list[str]
) -> None:
    publish_to_queue(amqp_vhost_url, QUEUE.name, [b"no message"])
    publish(amqp_vhost_url, whole_run(1))
    with handling(arguments, folder) as service:
        until_told(folder, 3)
        wait_until(lambda: len(dead_letters_of(amqp_vhost_url, QUEUE.name)) == 1, 30, "a parked message")
        stop(service)
    assert "Invalid JSON" in dead_letters_of(amqp_vhost_url, QUEUE.name)[0].reason


def test_a_second_process_of_the_same_name_stands_by(
    amqp_vhost_url: str, folder: Path, arguments: list[str]
) -> None:
    with handling(arguments, folder, "first") as first, handling(arguments, folder, "second") as second:
        publish(amqp_vhost_url, whole_run(2))
        until_told(folder, 4)
        stop(first)
        publish(amqp_vhost_url, whole_run(2))
        calls = until_told(folder, 8)
        stop(second)
    by_run: dict[str, list[str]] = {}
    for call in calls:
        by_run.setdefault(call["run"], []).append(call["what"])
    assert list(by_run.values()) == [["start", "event", "event", "finish"]] * 2


def test_two_processes_between_whom_a_long_queue_changes_handle_everything_once_and_in_order(
    amqp_vhost_url: str, folder: Path, arguments: list[str]
) -> None:
    """Who asks for more messages at a time than before lets the other one go on."""
    with handling(arguments, folder, "first") as first, handling(arguments, folder, "second") as second:
        for _ in range(3):
            publish(amqp_vhost_url, whole_run(700))
        wait_until(lambda: len(recorded_calls(folder)) >= 3 * 702, 60, "all calls")
        stop(first)
        publish(amqp_vhost_url, whole_run(1))
        calls = until_told(folder, 3 * 702 + 3)
        stop(second)
    by_run: dict[str, list[int]] = {}
    for call in calls:
        by_run.setdefault(call["run"], []).append(call.get("first_seq", -1))
    of_700 = [-1, *range(0, 1400, 2), -1]
    assert list(by_run.values()) == [of_700, of_700, of_700, [-1, 0, -1]]


@pytest.mark.parametrize(
    ("spec", "name"), [("own:Nobody", "mine"), ("nowhere:Mine", "mine"), ("own:Mine", "two words")]
)
def test_a_wrong_handler_or_name_is_one_line_and_exit_code_2(
    amqp_vhost_url: str, folder: Path, spec: str, name: str
) -> None:
    options = ("--name", name, "--http-port", "0", "--amqp-url", amqp_vhost_url)
    done = run_taskgen("handle", spec, *options, cwd=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert spec in done.stderr or name in done.stderr
