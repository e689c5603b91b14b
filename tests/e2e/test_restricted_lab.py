"""A lab whose services are the users they are under compose: on a new broker, and on one of version 0.1."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest

from taskgen.client.lab_report import LabReport
from taskgen.events.verify import verify
from taskgen.messages.codec import ControllerStatusMessage, EndedMessage, StartedMessage, TaskSetMessage
from taskgen.run import Outcome, new_id
from taskgen.simulation import run_boards
from taskgen.state.opening import open_state
from taskgen.state.state import Changes, OutgoingMessage
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import BrokerClient, broker_client, publish, publish_to_queue, queue_depth
from tests.support.command_line import environment, run_taskgen, write_taskset
from tests.support.message_factory import whole_run
from tests.support.restricted_lab import Restricted
from tests.support.services import Service
from tests.support.sink_kinds import wait_until_stored
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

CONSUMERS = {
    "taskgen.tasksets": "distributor",
    "taskgen.controller": "controller",
    "taskgen.sink.sqlite": "sqlite_sink",
    "taskgen.sink.csv": "csv_sink",
    "taskgen.sink.postgres": "postgres_sink",
    "taskgen.handler.yours": "handler",
}
SHORT = {"pkg": "hey", "period": 50, "numberofjobs": [2, 3, 4], "priority": 1}
ENDLESS = TaskSet([Task(pkg="idle", period=10**9)])
_HANDLER = """
from taskgen.event import DefaultEventHandler

class Yours(DefaultEventHandler):
    def __taskset_finish__(self, taskset):
        with open("finished.txt", "a") as file:
            file.write(taskset.run.run_id + "\\n")
"""


@pytest.fixture(params=["new", "upgraded"])
def broker(request: pytest.FixtureRequest, restricted: Restricted) -> Restricted:
    if request.param == "upgraded":
        restricted.load_0_1("yours")
    restricted.load()
    return restricted


class Lab:
    """All services, and people with their command."""

    def __init__(self, stack: ExitStack, broker: Restricted, folder: Path, postgres: str) -> None:
        self._stack, self._broker, self._folder = stack, broker, folder
        (self.board,) = stack.enter_context(run_boards(1, speed=50))
        self.stores = (f"sqlite:{folder / 'events.db'}", f"csv:{folder / 'parts'}", postgres)
        self.services = [
            self._start("distributor", boards=self.board, outbox_path=folder / "outbox", longest_pause_s=2),
            self._start("controller", state_url=f"sqlite:{folder / 'state.db'}"),
            self._start("sqlite_sink", sqlite_path=folder / "events.db"),
            self._start("csv_sink", csv_dir=folder / "parts"),
            self._start("postgres_sink", postgres_dsn=postgres),
        ]
        self._handler = self._start_handler()
        for service in self.services:
            service.wait_healthy()

    def _start(self, name: str, **variables: object) -> Service:
        return self._stack.enter_context(Service(name, amqp_url=self._broker.url(name), **variables))

    def _start_handler(self) -> subprocess.Popen[bytes]:
        (self._folder / "own.py").write_text(_HANDLER)
        command = ["handle", "own:Yours", "--name", "yours", "--http-port", "0"]
        log = self._folder / "handler.log"
        handler = subprocess.Popen(
            [sys.executable, "-m", "taskgen", *command],
            cwd=self._folder,
            env=environment(TASKGEN_AMQP_URL=self._broker.url("handler")),
            stderr=self._stack.enter_context(log.open("wb")),
        )
        self._stack.callback(handler.wait)
        self._stack.callback(handler.kill)
        wait_until(lambda: "consuming: ok" in log.read_text(), 60, "the handler to consume")
        return handler

    def finished_runs(self) -> int:
        """How many runs ended as finished according to the handler."""
        file = self._folder / "finished.txt"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def cli(self, *arguments: str | Path) -> str:
        """What a command prints that has succeeded."""
        urls: Mapping[str, str] = {
            "TASKGEN_AMQP_URL": self._broker.url("cli"),
            "TASKGEN_MANAGEMENT_URL": self._broker.management_url("cli"),
        }
        done = run_taskgen(*arguments, cwd=self._folder, **urls)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def are_all_alive(self) -> bool:
        ended = [service.process.poll() for service in self.services] + [self._handler.poll()]
        return set(ended) == {None}


@pytest.fixture
def make(postgres_database: str, tmp_path: Path) -> Iterator[tuple[ExitStack, Path, str]]:
    with ExitStack() as stack:
        yield stack, tmp_path, postgres_database


def test_each_service_has_the_permissions_that_it_needs(
    broker: Restricted, make: tuple[ExitStack, Path, str], tmp_path: Path
) -> None:
    lab = Lab(make[0], broker, *make[1:])
    said = lab.cli("submit", write_taskset(tmp_path, SHORT), "--wait")
    assert "3 of 3 done: 3 finished" in said
    wait_until_stored(3, *lab.stores)
    wait_until(lambda: lab.finished_runs() == 3, 30, "the handler to be called")
    report = LabReport.model_validate_json(lab.cli("status", "--json"))
    assert {queue.name: queue.consumers for queue in report.queues if queue.name != "taskgen.tasksets"} == {
        queue: 1 for queue in CONSUMERS if queue != "taskgen.tasksets"
    }
    assert lab.are_all_alive()


def test_a_lost_run_is_requeued_and_people_stop_running_and_waiting_task_sets(
    broker: Restricted, make: tuple[ExitStack, Path, str]
) -> None:
    with broker_client(broker.amqp_url) as ear:
        lab = Lab(make[0], broker, *make[1:])
        for _ in range(3):
            ear.submit(ENDLESS, campaign_id="c")
        (first,) = ear.wait_for(StartedMessage)
        lab.cli("reboot", lab.board)
        ear.wait_for(EndedMessage)
        # It goes to the end of the queue, which goes round before.
        waiting = ear.wait_for(StartedMessage, 2)[1]
        assert waiting.run.taskset_id != first.run.taskset_id
        wait_until(lambda: ear.depth("taskgen.tasksets") == 2, 30, "the lost one to be put back")
        (again,) = [one for one in tasksets(ear) if one.attempt == 2]
        assert again.taskset_id == first.run.taskset_id
        lab.cli("stop", again.taskset_id)
        assert "1 run stopping, 1 waiting task-set cancelled" in lab.cli("stop", "--all")
        ends = {message.run.run_id: message.outcome for message in ear.wait_for(EndedMessage, 2)}
        assert ends[waiting.run.run_id] is Outcome.STOPPED_BY_USER
        wait_until(lambda: called_off(ear) == 2, 30, "the controller to hear what was called off")
        assert lab.are_all_alive()


def tasksets(ear: BrokerClient) -> list[TaskSetMessage]:
    """What waits for a board; it goes on waiting."""
    bodies = [ear.take("taskgen.tasksets") for _ in range(ear.depth("taskgen.tasksets"))]
    for body in bodies:
        ear.publish("", "taskgen.tasksets", body or b"")
    return [TaskSetMessage.model_validate_json(body or b"") for body in bodies]


def called_off(ear: BrokerClient) -> int:
    said = [one for one in ear.all_of(ControllerStatusMessage) if one.campaigns]
    return said[-1].campaigns[-1].called_off if said else 0


def test_poison_is_dead_lettered_by_each_service_and_people_requeue_or_drop_it(
    broker: Restricted, make: tuple[ExitStack, Path, str]
) -> None:
    lab = Lab(make[0], broker, *make[1:])

    def are_parked(count: int) -> bool:
        return all(queue_depth(broker.amqp_url, f"{queue}.parked") == count for queue in CONSUMERS)

    for queue in CONSUMERS:
        publish_to_queue(broker.amqp_url, queue, [b"poison"])
    wait_until(lambda: are_parked(1), 60, "every service to park it")
    for queue in CONSUMERS:
        assert "Invalid JSON" in lab.cli("parked", "list", queue)
        assert lab.cli("parked", "redrive", queue) == f"1 message requeued into {queue}\n"
    wait_until(lambda: are_parked(1), 60, "every service to park it again")
    for queue in CONSUMERS:
        assert lab.cli("parked", "drop", "--yes", queue) == "1 message deleted\n"
    assert are_parked(0)
    assert lab.are_all_alive()


@pytest.mark.parametrize("queue", CONSUMERS)
def test_a_message_that_repeatedly_kills_its_consumer_is_dead_lettered_in_that_consumers_queue(
    broker: Restricted, queue: str, tmp_path: Path
) -> None:
    broker.declare_handler("yours")
    publish_to_queue(broker.amqp_url, queue, [b"deadly"])

    def die() -> bool:
        """Take the message and die, as its consumer would."""
        opened = pika.BlockingConnection(pika.URLParameters(broker.url(CONSUMERS[queue])))
        channel = opened.channel()
        for _ in channel.consume(queue, inactivity_timeout=0.5):
            break
        opened.close()
        return queue_depth(broker.amqp_url, f"{queue}.parked") == 1

    wait_until(die, 90, "the message to be parked")
    assert [other for other in CONSUMERS if queue_depth(broker.amqp_url, f"{other}.parked")] == [queue]
    as_cli = {"TASKGEN_AMQP_URL": broker.url("cli")}
    assert (
        "delivery_limit, by the broker" in run_taskgen("parked", "list", queue, cwd=tmp_path, **as_cli).stdout
    )
    assert run_taskgen("parked", "redrive", queue, cwd=tmp_path, **as_cli).returncode == 0
    assert (queue_depth(broker.amqp_url, queue), queue_depth(broker.amqp_url, f"{queue}.parked")) == (1, 0)


def test_an_upgrade_loses_no_waiting_dead_lettered_or_outgoing_message(
    restricted: Restricted, make: tuple[ExitStack, Path, str], tmp_path: Path
) -> None:
    restricted.load_0_1("yours")
    *run, end = whole_run()
    publish(restricted.amqp_url, run)
    for queue in CONSUMERS:
        if queue != "taskgen.tasksets":
            publish_to_queue(restricted.amqp_url, f"{queue}.parked", [end.body()])
    put_back = TaskSetMessage(tasks=[dict(Task(pkg="hey", id=0, period=50, numberofjobs=2))])
    to_be_sent(tmp_path / "state.db", put_back)
    restricted.load()
    lab = Lab(make[0], restricted, *make[1:])
    for queue in CONSUMERS:
        lab.cli("parked", "redrive", queue)
    wait_until_stored(2, *lab.stores)
    wait_until(lambda: lab.finished_runs() == 2, 30, "the handler to be called")
    assert not verify(lab.stores).findings
    assert lab.are_all_alive()


def test_a_service_on_a_broker_without_its_definitions_says_what_is_missing_and_what_to_do(
    restricted: Restricted, tmp_path: Path
) -> None:
    restricted.load_0_1("yours")
    with Service(
        "sqlite_sink", amqp_url=restricted.url("sqlite_sink"), sqlite_path=tmp_path / "events.db"
    ) as sink:
        assert sink.process.wait(timeout=60) == 1
        said = sink.log.splitlines()[-1]
    done = run_taskgen("stop", "--all", cwd=tmp_path, TASKGEN_AMQP_URL=restricted.url("cli"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    for line in (said, done.stderr):
        assert "exchange taskgen.handlers.dlx does not exist" in line
        assert "import the definitions" in line
    restricted.load()
    with Service(
        "sqlite_sink", amqp_url=restricted.url("sqlite_sink"), sqlite_path=tmp_path / "events.db"
    ) as sink:
        sink.wait_healthy()


def to_be_sent(path: Path, message: TaskSetMessage) -> None:
    """The state of a controller of version 0.1 that died before it sent this."""
    state = open_state(f"sqlite:{path}")
    state.claim()
    body = message.body().decode()
    sending = OutgoingMessage("", "taskgen.tasksets", message.message_id, body, new_id())
    state.write(Changes(outgoing=[sending]))
    state.close()
