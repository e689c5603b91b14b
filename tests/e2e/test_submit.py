"""`taskgen submit` from a user's shell to a lab of real services."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import port_for
import pytest

from taskgen.amqp.topology import EVENTS
from taskgen.execution.board import BoardState
from taskgen.messages.codec import BoardReport, ControllerStatusMessage, StartedMessage, StatusMessage
from taskgen.run import Outcome, new_id
from taskgen.simulation import run_boards
from tests.support.broker_client import BrokerClient, broker_client
from tests.support.command_line import environment, run_taskgen, start_taskgen, write_taskset
from tests.support.fake_distributor import FakeDistributor
from tests.support.lab import lab
from tests.support.servers.rabbitmq import Broker
from tests.support.tasksets import TWO_JOBS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


TASK = {"pkg": "hey", "period": 50, "numberofjobs": 2, "priority": 1}


def test_submit_waits_until_every_variant_has_a_result(amqp_vhost_url: str, tmp_path: Path) -> None:
    with run_boards(2, speed=50) as boards, lab(amqp_vhost_url, tmp_path, boards) as services:
        services.controller()
        services.distributor()
        tasks = write_taskset(tmp_path, TASK | {"numberofjobs": [1, 2, 3]})
        done = run_taskgen(
            "submit", tasks, "--repeat", "2", "--wait", cwd=tmp_path, TASKGEN_AMQP_URL=amqp_vhost_url
        )
    assert done.returncode == 0, done.stderr
    assert "6 submitted" in done.stdout
    assert "6 of 6 done: 6 finished" in done.stdout


def test_a_wait_ends_however_many_campaigns_ran_meanwhile(amqp_vhost_url: str, tmp_path: Path) -> None:
    def others_done() -> bool:
        said = ear.all_of(ControllerStatusMessage)
        return bool(said) and said[-1].runs.get("finished") == 51

    tasks = write_taskset(tmp_path, TASK)
    with broker_client(amqp_vhost_url) as ear, lab(amqp_vhost_url, tmp_path, []) as services:
        services.controller(lost_after_s=60)
        distributor = FakeDistributor(ear)
        with start_taskgen("submit", tasks, "--wait", "--amqp-url", amqp_vhost_url, cwd=tmp_path) as waiting:
            run = distributor.start(distributor.take())
            for number in range(51):
                (message,) = ear.submit(TWO_JOBS, campaign_id=new_id())
                distributor.take()
                distributor.end(distributor.start(message, f"board {number}"), Outcome.FINISHED)
            wait_until(others_done, 30, "the controller to tell of the others")
            distributor.end(run, Outcome.FINISHED)
            try:
                said, faults = waiting.communicate(timeout=30)
            finally:
                waiting.kill()
        assert waiting.returncode == 0, faults
        assert "1 of 1 done: 1 finished" in said


def test_a_wait_that_is_interrupted_leaves_the_campaign_and_one_that_is_stopped_ends_with_1(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    tasks = write_taskset(tmp_path, {"pkg": "idle", "period": 10**9})
    command = ("submit", tasks, "--wait", "--amqp-url", amqp_vhost_url)
    with (
        run_boards(2, speed=50) as boards,
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        services.controller()
        services.distributor()
        with (
            start_taskgen(*command, cwd=tmp_path) as interrupted,
            start_taskgen(*command, cwd=tmp_path) as stopped,
        ):
            ear.wait_for(StartedMessage, 2)
            wait_until(
                lambda: any(said.runs.get("running") == 2 for said in ear.all_of(ControllerStatusMessage)),
                30,
                "the controller to know of both",
            )
            os.kill(interrupted.pid, signal.SIGINT)
            said, _ = interrupted.communicate(timeout=30)
            assert interrupted.returncode == 130
            assert (
                "interrupted by SIGINT: the campaign continues; `taskgen status` shows its progress" in said
            )
            assert (
                "2 runs stopping"
                in run_taskgen("stop", "--all", "--amqp-url", amqp_vhost_url, cwd=tmp_path).stdout
            )
            said, faults = stopped.communicate(timeout=60)
            assert stopped.returncode == 1
            assert "1 of 1 done: 1 stopped_by_user" in said
            assert "stopped_by_user by `taskgen stop`" in faults


def test_a_wait_says_once_that_the_broker_is_lost_and_once_that_it_is_back(
    amqp_vhost_url: str, broker: Broker, tmp_path: Path
) -> None:
    place = urlsplit(broker.url)
    assert place.hostname is not None
    assert place.port is not None
    tasks, log = write_taskset(tmp_path, TASK), tmp_path / "log"
    idle = StatusMessage(distributor="d", boards=[BoardReport(name="b:1", state=BoardState.IDLE, since="")])

    def is_heard(ear: BrokerClient) -> bool:
        ear.publish(EVENTS, "status.d", idle.body())
        return "1 idle" in log.read_text()

    with log.open("w") as stderr:
        waiting = subprocess.Popen(
            [sys.executable, "-m", "taskgen", "submit", tasks, "--wait", "--amqp-url", amqp_vhost_url],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        with waiting:
            with broker_client(amqp_vhost_url) as ear:
                wait_until(lambda: is_heard(ear), 60, "the command to listen")
            broker.kill()
            with socket.create_server((place.hostname, place.port)) as cutting:
                cutting.settimeout(30)
                for _ in range(4):  # tries to connect, each of which fails
                    cutting.accept()[0].close()
            broker.start()
            wait_until(lambda: "connected to the broker again" in log.read_text(), 60, "the way back")
            waiting.send_signal(signal.SIGTERM)
            output, _ = waiting.communicate(timeout=30)
    said = log.read_text()
    assert (said.count("lost the connection"), said.count("connected to the broker again")) == (1, 1), said
    assert waiting.returncode == 130
    assert "interrupted by SIGTERM" in output


def test_a_submission_can_be_interrupted_while_the_broker_is_down(
    amqp_vhost_url: str, broker: Broker, tmp_path: Path
) -> None:
    tasks = write_taskset(tmp_path, TASK)
    command = ("submit", tasks, "--repeat", "1000000", "--amqp-url", amqp_vhost_url)
    with start_taskgen(*command, cwd=tmp_path) as submitting:
        assert submitting.stderr is not None
        assert any("of 1,000,000 submitted" in line for line in submitting.stderr)
        broker.kill()
        assert any("lost the connection" in line for line in submitting.stderr)
        submitting.send_signal(signal.SIGINT)
        try:
            output, faults = submitting.communicate(timeout=60)
        finally:
            submitting.kill()
    assert submitting.returncode == 130, faults
    campaign = output.split()[1].rstrip(":")
    assert f"interrupted by SIGINT: submitted task-sets will still run; `taskgen stop {campaign}`" in faults


def test_a_users_mistake_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    tasks = write_taskset(tmp_path, TASK)
    for arguments, words in (
        (("submit", tmp_path / "none.json"), "none.json"),
        (("submit", tasks, "--amqp-url", "http://127.0.0.1"), "--amqp-url: "),
        (("submit", tasks, "--repeat", "0"), "--repeat"),
        (("stop",), "--all"),
        (("stop", "id", "--all"), "--all"),
        (("reboot", "no board"), "no board"),
        (("verify", "mysql:x"), "sqlite:PATH"),
        (("verify", f"sqlite:{tmp_path}/none.db"), "none.db"),
    ):
        done = run_taskgen(*arguments, cwd=tmp_path)
        assert done.returncode == 2, (arguments, done.stderr)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert words in done.stderr


@pytest.mark.parametrize("command", ["submit", "status", "setup"])
def test_an_unavailable_or_refusing_broker_is_one_line_and_not_a_usage_error(
    amqp_url: str, tmp_path: Path, command: str
) -> None:
    tasks = [write_taskset(tmp_path, TASK)] if command == "submit" else []
    wrong = urlsplit(amqp_url)._replace(netloc=f"nobody:wrong@{urlsplit(amqp_url).netloc.split('@')[-1]}")
    for url, words in (
        (f"amqp://guest:guest@127.0.0.1:{port_for.select_random()}/%2F", "no connection to the broker"),
        (wrong.geturl(), "refused"),
    ):
        done = run_taskgen(command, *tasks, "--amqp-url", url, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert words in done.stderr
        assert "wrong" not in done.stderr


def test_verify_ends_with_1_where_stores_differ(tmp_path: Path) -> None:
    with run_boards(1, speed=50) as boards:
        run_taskgen(
            "run", write_taskset(tmp_path, TASK), "--board", *boards, "--sqlite", "a.db", cwd=tmp_path
        )
        run_taskgen(
            "run", write_taskset(tmp_path, TASK), "--board", *boards, "--sqlite", "b.db", cwd=tmp_path
        )
    same = run_taskgen("verify", "sqlite:a.db", "sqlite:a.db", cwd=tmp_path)
    assert (same.returncode, "clean" in same.stdout) == (0, True)
    other = run_taskgen("verify", "sqlite:a.db", "sqlite:b.db", cwd=tmp_path)
    assert other.returncode == 1
    assert "run is absent" in other.stdout
