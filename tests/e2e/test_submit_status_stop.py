"""`taskgen status`, `stop` and `reboot` on a lab of real services."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from taskgen.amqp.topology import EVENTS, TASKSETS, Queue, handler_queue, sink_queue, tasksets_queue
from taskgen.client.lab_report import LabReport, QueueLine
from taskgen.execution.board import BoardState
from taskgen.messages.codec import (
    BoardReport,
    ControllerStatusMessage,
    EndedMessage,
    StartedMessage,
    StatusMessage,
)
from taskgen.run import Outcome, new_id, now
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import BrokerClient, broker_client, declare_queues, publish
from tests.support.command_line import environment, run_taskgen, write_taskset
from tests.support.lab import lab
from tests.support.message_factory import whole_run
from tests.support.servers.rabbitmq import Broker
from tests.support.services import Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

ENDLESS = TaskSet([Task(pkg="idle", period=10**9)])


class Cli:
    """The command, with the broker of a lab of one board, and ears on it."""

    def __init__(self, url: str, folder: Path, ear: BrokerClient, board: str) -> None:
        self.url, self._folder = url, folder
        self.ear = ear
        self.board = board

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_taskgen(*arguments, cwd=self._folder, TASKGEN_AMQP_URL=self.url)

    def report(self) -> LabReport:
        done = self("status", "--json")
        assert done.returncode == 0, done.stderr
        return LabReport.model_validate_json(done.stdout)

    def campaign(self) -> tuple[int, int, int]:
        """Of the latest: running, stopped by a user, called off."""
        said = [message for message in self.ear.all_of(ControllerStatusMessage) if message.campaigns]
        if not said:
            return 0, 0, 0
        report = said[-1].campaigns[-1]
        return report.running, report.outcomes.get(Outcome.STOPPED_BY_USER, 0), report.called_off


@pytest.fixture
def cli(amqp_vhost_url: str, tmp_path: Path) -> Iterator[Cli]:
    with ExitStack() as stack:
        (board,) = stack.enter_context(run_boards(1, speed=50))
        ear = stack.enter_context(broker_client(amqp_vhost_url))
        services = stack.enter_context(lab(amqp_vhost_url, tmp_path, [board]))
        services.controller()
        services.distributor()
        yield Cli(amqp_vhost_url, tmp_path, ear, board)


def test_status_shows_boards_runs_and_queues(cli: Cli, management_url: str) -> None:
    cli.ear.submit(ENDLESS)
    (started,) = cli.ear.wait_for(StartedMessage)
    cli.ear.submit(ENDLESS)
    wait_until(lambda: cli.campaign()[0] == 1, 30, "the controller to know of the run")
    report = cli.report()
    (board,) = report.boards
    assert board.report.name == cli.board
    assert board.report.run_id == started.run.run_id
    assert board.distributor == started.run.distributor
    assert report.runs == {"running": 1}
    queues = {queue.name: queue for queue in report.queues}
    assert queues[TASKSETS].ready == 1
    assert queues["taskgen.controller"].consumers == 1
    declare_queues(cli.url, handler_queue("mine"))
    shown = cli("status", "--management-url", management_url).stdout
    assert "taskgen.handler.mine" in shown
    assert started.run.run_id in shown
    assert "running" in shown


def test_status_shows_what_a_stuck_sink_holds_and_which_queue_nobody_consumes(
    amqp_vhost_url: str, management_url: str, tmp_path: Path
) -> None:
    stuck, deserted, run = sink_queue("sqlite"), sink_queue("csv"), whole_run(50)
    declare_queues(amqp_vhost_url, tasksets_queue(), stuck, deserted)
    path = tmp_path / "events.db"

    def report(*options: str) -> LabReport:
        done = run_taskgen("status", "--json", *options, cwd=tmp_path, TASKGEN_AMQP_URL=amqp_vhost_url)
        assert done.returncode == 0, done.stderr
        return LabReport.model_validate_json(done.stdout)

    def line(queue: Queue, *options: str) -> QueueLine:
        return next(one for one in report(*options).queues if one.name == queue.name)

    counting = ("--management-url", management_url)
    with Service("sqlite_sink", amqp_url=amqp_vhost_url, sqlite_path=path) as sink:
        sink.wait_healthy()
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            publish(amqp_vhost_url, run)
            wait_until(lambda: line(stuck, *counting).held not in (None, 0), 60, "what is held to be shown")
            found = line(stuck, *counting)
            assert found.ready + (found.held or 0) == len(run)
            assert (found.consumers, found.lacks_consumer) == (1, False)
            found = line(deserted, *counting)
            assert (found.ready, found.held, found.lacks_consumer) == (len(run), 0, True)
            assert not line(tasksets_queue(), *counting).lacks_consumer, "it is fetched from"
            unknown = report("--management-url", "http://127.0.0.1:1")
            assert {one.held for one in unknown.queues} == {None}
            assert "the management API does not answer" in unknown.held_unknown
            shown = run_taskgen("status", cwd=tmp_path, TASKGEN_AMQP_URL=amqp_vhost_url).stdout
            assert "held (delivered, not acknowledged) is unknown: no management API was found" in " ".join(
                shown.split()
            )
            assert re.search(r"taskgen\.sink\.csv\D+52\D+\?\D+none", shown)


def test_stop_all_stops_running_and_cancels_waiting_task_sets(cli: Cli) -> None:
    for _ in range(3):
        cli.ear.submit(ENDLESS, campaign_id="c")
    cli.ear.wait_for(StartedMessage)
    done = cli("stop", "--all")
    assert done.returncode == 0, done.stderr
    assert "1 run stopping, 2 waiting task-sets cancelled" in done.stdout
    (ended,) = cli.ear.wait_for(EndedMessage)
    assert ended.outcome is Outcome.STOPPED_BY_USER
    wait_until(lambda: cli.campaign() == (0, 1, 2), 30, "the controller to count them")


def test_stop_of_one_task_set_leaves_the_others_and_their_order(cli: Cli) -> None:
    cli.ear.submit(ENDLESS)
    (running,) = cli.ear.wait_for(StartedMessage)
    first, meant, last = (cli.ear.submit(ENDLESS)[0] for _ in range(3))
    assert "0 runs stopping, 1 waiting task-set cancelled" in cli("stop", meant.taskset_id).stdout
    for expected in (first, last):
        assert "1 run stopping, 0 waiting" in cli("stop", running.run.run_id).stdout
        wait_until(lambda: len(cli.ear.all_of(StartedMessage)) > 0, 30, "the next run")
        running = next_after(cli.ear, running)
        assert running.run.taskset_id == expected.taskset_id
    assert cli.ear.depth(TASKSETS) == 0


def next_after(ear: BrokerClient, former: StartedMessage) -> StartedMessage:
    count = [one.run.run_id for one in ear.all_of(StartedMessage)].index(former.run.run_id) + 2
    return ear.wait_for(StartedMessage, count)[count - 1]


def test_stop_of_an_unknown_id_says_so(cli: Cli) -> None:
    done = cli("stop", "nobody")
    assert done.returncode == 1
    assert "no running or queued run has id nobody" in done.stderr


def test_stop_takes_the_campaign_that_submit_prints_and_leaves_the_others(cli: Cli, tmp_path: Path) -> None:
    tasks = write_taskset(tmp_path, {"pkg": "idle", "period": 10**9})
    submitted = re.match(r"campaign (\S+): 3 submitted", cli("submit", str(tasks), "--repeat", "3").stdout)
    assert submitted is not None
    (first,) = cli.ear.wait_for(StartedMessage)
    assert first.run.campaign_id == submitted[1]
    (other,) = cli.ear.submit(ENDLESS, campaign_id=new_id())
    done = cli("stop", submitted[1])
    assert done.returncode == 0, done.stderr
    assert "1 run stopping, 2 waiting task-sets cancelled" in done.stdout
    assert next_after(cli.ear, first).run.taskset_id == other.taskset_id


def test_stop_takes_the_end_of_an_id_and_lists_what_an_ambiguous_one_could_mean(cli: Cli) -> None:
    cli.ear.submit(ENDLESS)
    (running,) = cli.ear.wait_for(StartedMessage)
    for taskset_id in ("first-1234", "second-1234"):
        cli.ear.submit(ENDLESS, taskset_id=taskset_id, campaign_id="1234-third")
    ambiguous = cli("stop", "1234")
    assert ambiguous.returncode == 2
    assert "campaign 1234-third, task-set first-1234, task-set second-1234" in ambiguous.stderr
    assert len(ambiguous.stderr.splitlines()) == 1
    assert "0 runs stopping, 1 waiting task-set cancelled" in cli("stop", "second").stdout
    assert "1 run stopping, 0 waiting" in cli("stop", running.run.run_id[-8:]).stdout
    assert next_after(cli.ear, running).run.taskset_id == "first-1234"


def test_a_rebooted_board_loses_its_run_which_is_retried(cli: Cli) -> None:
    cli.ear.submit(ENDLESS)
    (first,) = cli.ear.wait_for(StartedMessage)
    assert cli("reboot", cli.board).returncode == 0
    again = cli.ear.wait_for(StartedMessage, 2)[1]
    assert again.run.taskset_id == first.run.taskset_id
    assert again.run.attempt == 2
    done = cli("reboot", "127.0.10.9")
    assert done.returncode == 2
    assert "no distributor serves 127.0.10.9:3001" in done.stderr
    assert json.loads(cli("status", "--json").stdout)["runs"]["running"] == 1


def test_a_watch_shows_its_age_when_no_news_arrives(
    amqp_vhost_url: str, broker: Broker, tmp_path: Path
) -> None:
    """First a distributor falls silent, then the broker; a signal ends it without the broker, too."""
    board = BoardReport(name="b:1", state=BoardState.IDLE, since=now())
    leader, terminal = pty.openpty()
    command = ("status", "--watch", "--amqp-url", amqp_vhost_url)
    watching = subprocess.Popen(
        [sys.executable, "-m", "taskgen", *command],
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    with watching:
        screen = Screen(leader)
        with broker_client(amqp_vhost_url) as ear:
            while "b:1" not in screen.shown:
                ear.publish(EVENTS, "status.d", StatusMessage(distributor="d", boards=[board]).body())
                assert screen.read()
        screen.wait_for(r"idle, \d+ s ago")
        broker.kill()
        screen.wait_for(r"no news from the broker; this is \d+ s old")
        watching.send_signal(signal.SIGTERM)
        screen.wait_for_end()
    assert watching.returncode == 0


class Screen:
    """What a process writes to a terminal."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self.shown = ""

    def read(self) -> bool:
        """Read what is there within a moment; False at the end."""
        if not select.select([self._leader], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._leader, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            return False
        self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        return True

    def wait_for(self, pattern: str) -> None:
        """Wait until something is shown."""
        self.shown = ""
        wait_until(lambda: self.read() and bool(re.search(pattern, self.shown)), 60, pattern)

    def wait_for_end(self) -> None:
        """Wait until the process has closed its terminal."""
        wait_until(lambda: not self.read(), 30, "the end")
        os.close(self._leader)
