"""Whatever stands in a message, commands go on, and show it without its acting on the terminal."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest

from taskgen.amqp.topology import EVENTS, sink_queue
from taskgen.execution.board import BoardState
from taskgen.messages.codec import (
    BoardReport,
    CampaignReport,
    ControllerStatusMessage,
    EndedMessage,
    RefusedMessage,
    StatusMessage,
)
from taskgen.run import Outcome, now
from taskgen.untrusted_text import REASON_CHARACTERS
from tests.support.broker_client import (
    BrokerClient,
    broker_client,
    dead_letters_of,
    declare_queues,
    queue_depth,
)
from tests.support.command_line import run_taskgen, start_taskgen, write_taskset
from tests.support.fake_distributor import FakeDistributor
from tests.support.hostile_text import HOSTILE, MARKUP, SHOWN, assert_harmless, unwrapped
from tests.support.message_factory import run_head
from tests.support.services import Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

QUEUE = sink_queue("sqlite")
ODD_DEATHS: tuple[Any, ...] = (
    7,
    "text",
    [],
    [7],
    {},
    [{"reason": 5, "routing-keys": 3}],
    [{"routing-keys": []}],
)
HEADERS: tuple[dict[Any, Any], ...] = (
    {"x-taskgen-reason": HOSTILE, "x-taskgen-routing-key": HOSTILE, HOSTILE: HOSTILE},
    {"x-taskgen-reason": 5, "x-taskgen-routing-key": [HOSTILE]},
    *({"x-death": odd} for odd in ODD_DEATHS),
    {"x-death": [{"reason": HOSTILE, "routing-keys": [HOSTILE]}]},
    {b"\xff": b"\xff", "x-taskgen-reason": b"\xff\x1b"},
)


def put(url: str, queue: str, body: bytes, **properties: Any) -> None:
    """Publish whatever somebody may who has the right to."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, body, pika.BasicProperties(**properties), mandatory=True)


@pytest.fixture
def url(amqp_vhost_url: str) -> str:
    """A broker with hostile messages parked."""
    declare_queues(amqp_vhost_url, QUEUE)
    for headers in HEADERS:
        put(amqp_vhost_url, QUEUE.dead_letters, HOSTILE.encode(), headers=headers, message_id=HOSTILE)
    put(amqp_vhost_url, QUEUE.dead_letters, b"\xff\x1b[31m", message_id=b"\xff\x1b")
    return amqp_vhost_url


COUNT = len(HEADERS) + 1


def run(url: str, folder: Path, *arguments: str) -> str:
    """What a command says that does its work, and says it harmlessly."""
    done = run_taskgen(*arguments, "--amqp-url", url, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_harmless(done.stdout + done.stderr)
    return done.stdout


def test_hostile_messages_are_listed_and_shown_as_they_were_sent(url: str, tmp_path: Path) -> None:
    assert str(COUNT) in run(url, tmp_path, "dead-letters", "list")
    listed = unwrapped(run(url, tmp_path, "dead-letters", "list", QUEUE.name))
    assert listed.count(MARKUP) >= COUNT
    shown = run(url, tmp_path, "dead-letters", "show", QUEUE.name)
    assert f"id           {SHOWN}\nreason       {SHOWN}\nrouting key  {SHOWN}\n" in shown
    assert f"header       {SHOWN}: {SHOWN}\n" in shown
    assert f"reason       {SHOWN}, by the broker\nrouting key  {SHOWN}\n" in shown
    first, last = SHOWN.split(r"\n")
    assert f"body         {first}\n             {last}\n" in shown
    assert shown.count("reason       unknown, by the broker\n") == 7
    wait_until(lambda: queue_depth(url, QUEUE.dead_letters) == COUNT, 10, "all given back")


def test_hostile_messages_are_requeued(url: str, tmp_path: Path) -> None:
    assert f"{COUNT} messages requeued" in run(url, tmp_path, "dead-letters", "redrive", QUEUE.name)
    assert (queue_depth(url, QUEUE.dead_letters), queue_depth(url, QUEUE.name)) == (0, COUNT)


def test_hostile_messages_are_dropped(url: str, tmp_path: Path) -> None:
    one = (QUEUE.name, "--yes", "--id", r"\xff" + "\x1b")
    assert run(url, tmp_path, "dead-letters", "drop", *one) == "1 message deleted\n"
    assert (
        run(url, tmp_path, "dead-letters", "drop", QUEUE.name, "--yes") == f"{COUNT - 1} messages deleted\n"
    )
    assert queue_depth(url, QUEUE.dead_letters) == 0


def test_a_queue_of_a_hostile_name_is_declared_and_listed(
    amqp_vhost_url: str, management_url: str, tmp_path: Path
) -> None:
    name = HOSTILE.replace("\r\n", "")  # which RabbitMQ takes out
    said = run(amqp_vhost_url, tmp_path, "setup", "--sink", name, "--management-url", management_url)
    assert SHOWN.replace(r"\r\n", "") in said

    def is_listed() -> bool:
        options = ("--management-url", management_url)
        commands = (("dead-letters", "list", *options), ("status", *options))
        return all(MARKUP in unwrapped(run(amqp_vhost_url, tmp_path, *command)) for command in commands)

    wait_until(is_listed, 60, "the queue in the lists")


@pytest.mark.parametrize("schema", [HOSTILE, "x" * 10_000_000], ids=["hostile", "huge"])
def test_a_message_is_dead_lettered_with_a_short_reason(
    amqp_vhost_url: str, tmp_path: Path, schema: str
) -> None:
    body = json.dumps({"schema": schema, "version": 1}).encode()
    with Service("sqlite_sink", amqp_url=amqp_vhost_url, sqlite_path=tmp_path / "events.db") as sink:
        sink.wait_healthy()
        put(amqp_vhost_url, QUEUE.name, body)
        wait_until(lambda: queue_depth(amqp_vhost_url, QUEUE.dead_letters) == 1, 60, "the message parked")
        (one,) = dead_letters_of(amqp_vhost_url, QUEUE.name)
        assert len(one.reason) <= REASON_CHARACTERS
        assert one.reason.isprintable()
        assert sink.stop() == 0
        assert "dead-lettered in" in sink.log
        assert_harmless(sink.log)
        assert len(sink.log) < 10_000


def test_texts_in_messages_are_short_and_printable() -> None:
    """Sinks and the controller store and log whatever anybody publishes."""
    message = EndedMessage(
        run=run_head(), ended_at=now(), outcome=Outcome.BOARD_LOST, reason=HOSTILE + "x" * 1_000_000, events=0
    )
    assert message.reason.startswith(SHOWN)
    assert len(message.reason) == REASON_CHARACTERS


@contextmanager
def saying(url: str, say: Callable[[BrokerClient], None]) -> Iterator[None]:
    """Say something again and again."""
    is_over = threading.Event()

    def work() -> None:
        with broker_client(url) as lab:
            while not is_over.wait(0.2):
                say(lab)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def campaigns(*reports: CampaignReport) -> ControllerStatusMessage:
    return ControllerStatusMessage(controller=HOSTILE, runs={HOSTILE: 1}, bad=0, campaigns=list(reports))


SINCE = ("", HOSTILE, "yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31", now())


def test_status_shows_statuses_of_hostile_services_harmlessly(amqp_vhost_url: str, tmp_path: Path) -> None:
    boards = [
        BoardReport(name=f"{HOSTILE}{number}", state=BoardState.LOST, since=since, reason=HOSTILE)
        for number, since in enumerate(SINCE)
    ]

    def say(lab: BrokerClient) -> None:
        status = StatusMessage(distributor=HOSTILE, boards=boards)
        controller = campaigns(CampaignReport(campaign_id=HOSTILE, running=1))
        lab.publish(EVENTS, "status.hostile", status.body())
        lab.publish(EVENTS, "status.controller", controller.body())

    declare_queues(amqp_vhost_url, QUEUE)
    with saying(amqp_vhost_url, say):
        shown = unwrapped(run(amqp_vhost_url, tmp_path, "status"))
        report = json.loads(run(amqp_vhost_url, tmp_path, "status", "--json"))
    assert shown.count(MARKUP) >= 2 * len(SINCE) + 3
    assert [line["report"]["since"] for line in report["boards"]] == list(SINCE)
    assert {line["report"]["name"][:-1] for line in report["boards"]} == {HOSTILE}


def test_submit_shows_reasons_of_hostile_runs_harmlessly(amqp_vhost_url: str, tmp_path: Path) -> None:
    tasks = write_taskset(tmp_path, {"pkg": "hey", "period": 100})
    with (
        broker_client(amqp_vhost_url) as lab,
        start_taskgen("submit", tasks, "--wait", "--amqp-url", amqp_vhost_url, cwd=tmp_path) as waiting,
    ):
        message = FakeDistributor(lab).take()
        head = run_head(campaign_id=message.campaign_id, board=HOSTILE)
        lost = EndedMessage(run=head, ended_at=now(), outcome=Outcome.BOARD_LOST, reason=HOSTILE, events=0)
        source = message.model_copy(update={"source": "[/a"})  # with the reason it would be a tag
        refused = RefusedMessage(taskset=source, reason=f"b] {HOSTILE}")

        def say(lab: BrokerClient) -> None:
            lab.publish(EVENTS, "stopped.hostile", lost.body())
            lab.publish(EVENTS, "refused.hostile", refused.body())
            if waiting_for_it():
                done = campaigns(CampaignReport(campaign_id=message.campaign_id, bad=1))
                lab.publish(EVENTS, "status.controller", done.body())

        rounds = iter(range(10_000))

        def waiting_for_it() -> bool:
            return next(rounds) > 20

        with saying(amqp_vhost_url, say):
            output, faults = finished(waiting)
    assert waiting.returncode == 1
    assert_harmless(output + faults)
    assert f"attempt 1 on {SHOWN}: board_lost {SHOWN}" in unwrapped(faults)
    assert f"failed [/a, variant 0: b] {SHOWN}" in unwrapped(faults)


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()
