"""The servers of the tests themselves: what they are given back is what they were given."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pika
import psycopg
import pytest

from tests.support.servers.management import Management
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import Broker
from tests.support.waiting import wait_until

QUORUM = {"x-queue-type": "quorum"}
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def publish(url: str, queue: str, body: bytes) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True, arguments=QUORUM)
        channel.basic_publish("", queue, body, PERSISTENT, mandatory=True)


def take(url: str, queue: str) -> bytes | None:
    """The queue's next message; RabbitMQ answers when a queue that was just recovered has a leader."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        _, _, body = connection.channel().basic_get(queue, auto_ack=True)
        return None if body is None else bytes(body)


def test_a_message_that_was_published_can_be_got(amqp_url: str) -> None:
    publish(amqp_url, "test-servers", b"hello")
    assert take(amqp_url, "test-servers") == b"hello"
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().queue_delete("test-servers")


def test_a_virtual_host_is_empty_and_seen_by_the_management_api(
    amqp_vhost_url: str, management_url: str
) -> None:
    vhost = amqp_vhost_url.rpartition("/")[2]
    assert Management(management_url).request("GET", f"/api/queues/{vhost}") == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_keeps_the_message_of_a_durable_quorum_queue(
    broker: Broker, amqp_vhost_url: str, end: str
) -> None:
    publish(amqp_vhost_url, "kept", b"still there")
    broker.sync()
    getattr(broker, end)()
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        pika.BlockingConnection(pika.URLParameters(amqp_vhost_url))
    broker.start()
    assert take(amqp_vhost_url, "kept") == b"still there"


def test_a_row_that_was_written_can_be_read(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE t (n numeric(20))")
        connection.execute("INSERT INTO t VALUES (%s)", [2**64 - 1])
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(2**64 - 1,)]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_keeps_a_committed_row(postgres: Postgres, postgres_database: str, end: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'still there' AS c")
    getattr(postgres, end)()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_database)
    postgres.start()
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("SELECT c FROM t").fetchall() == [("still there",)]


def test_postgres_refuses_a_wrong_password(postgres_database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres_database, password="wrong")


def test_a_server_does_not_outlive_tests_that_were_killed(tmp_path: Path) -> None:
    """The server's scratch folder is removed too."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = (
        "import time; from pathlib import Path; from tests.support.servers.process import ServerProcess\n"
        f"server = ServerProcess(['/bin/sh', '-c', 'echo $$; exec sleep 600'], Path({str(scratch)!r}))\n"
        "server.start()\n"
        "while not server.log: time.sleep(0.02)\n"
        "print(server.log, end='', flush=True); time.sleep(600)"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root
    ) as tests:
        assert tests.stdout is not None
        server = int(tests.stdout.readline())
        os.kill(server, 0)  # it lives
        tests.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{server}/cmdline").exists() or is_zombie(server), 10, "its end")
    wait_until(lambda: not scratch.exists(), 10, "the scratch folder's end")


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
