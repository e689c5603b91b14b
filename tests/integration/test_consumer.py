"""A service that hosts a handler waits for what may come, and ends with one line where nothing will."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import port_for
import pytest

from taskgen.amqp.connection import connection
from taskgen.amqp.topology import sink_queue
from tests.support.broker_client import publish
from tests.support.message_factory import whole_run
from tests.support.services import Service
from tests.support.sink_kinds import wait_until_stored
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

QUEUE = sink_queue("sqlite").name


def last_line(service: Service) -> str:
    """What a service says in the end; waits for its end."""
    service.process.wait(timeout=60)
    return service.log.strip().splitlines()[-1]


def part(service: Service, name: str) -> tuple[bool, str]:
    """Whether a part is well, and why not; empty where it is not known yet."""
    found = service.health().get("parts", {}).get(name, {})
    return found.get("ok", False), found.get("reason", "")


def test_a_service_without_a_broker_waits_for_it_and_says_so(tmp_path: Path) -> None:
    url = f"amqp://guest:secret@127.0.0.1:{port_for.select_random()}/%2F"
    with Service("sqlite_sink", amqp_url=url, sqlite_path=tmp_path / "events.db") as service:
        wait_until(lambda: part(service, "broker")[1] != "", 30, "the broker to be missed")
        assert service.get("/healthz")[0] == 503
        assert part(service, "consuming")[0] is False
        assert "taskgen_consuming 0.0" in service.get("/metrics")[1]
        assert "taskgen_reconnects_total 0.0" in service.get("/metrics")[1]  # it had none to lose
        assert "secret" not in service.log + service.get("/healthz")[1]
        assert service.stop() == 0


def test_wrong_credentials_end_a_service_with_one_line(amqp_vhost_url: str, tmp_path: Path) -> None:
    parts = urlsplit(amqp_vhost_url)
    url = parts._replace(netloc=f"guest:wrong@{parts.hostname}:{parts.port}").geturl()
    with Service("sqlite_sink", amqp_url=url, sqlite_path=tmp_path / "events.db") as service:
        line = last_line(service)
        assert line.startswith("sqlite_sink: the broker refused amqp://guest:***@127.0.0.1")
        assert service.process.returncode == 1
        assert "Traceback" not in service.log


def test_a_queue_with_other_arguments_ends_a_service_with_a_line_that_names_both(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    async def declare_otherwise() -> None:
        async with connection(amqp_vhost_url, "test") as link:
            await (await link.channel()).declare_queue(QUEUE, {"x-queue-type": "classic"})

    asyncio.run(declare_otherwise())
    with Service("sqlite_sink", amqp_url=amqp_vhost_url, sqlite_path=tmp_path / "events.db") as service:
        line = last_line(service)
        assert service.process.returncode == 1
        assert QUEUE in line
        assert "x-queue-type" in line
        assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("http_port", "many", "TASKGEN_HTTP_PORT"),
        ("amqp_url", "localhost", "TASKGEN_AMQP_URL"),
        ("amqp_url", "amqps://127.0.0.1/?ssl_options={'ca_certs':'no/such'}", "TASKGEN_AMQP_URL"),
        ("log_format", "xml", "TASKGEN_LOG_FORMAT"),
    ],
)
def test_a_wrong_setting_ends_a_service_with_a_line_that_names_it(
    variable: str, value: str, said: str
) -> None:
    with Service("csv_sink", **{variable: value}) as service:
        assert service.process.wait(timeout=60) == 2
        (line,) = service.log.strip().splitlines()
        assert line.startswith(f"csv_sink: {said}")


def test_a_variable_that_has_to_be_set_is_named() -> None:
    with Service("postgres_sink") as service:
        assert service.process.wait(timeout=60) == 2
        assert service.log == "postgres_sink: TASKGEN_POSTGRES_DSN is required\n"


def test_a_database_that_refuses_the_user_ends_a_service_with_one_line(
    amqp_vhost_url: str, postgres_database: str
) -> None:
    parts = urlsplit(postgres_database)
    dsn = parts._replace(netloc=f"postgres:wrong@{parts.hostname}:{parts.port}").geturl()
    with Service("postgres_sink", amqp_url=amqp_vhost_url, postgres_dsn=dsn) as service:
        assert "check user, password and database" in last_line(service)
        assert service.process.returncode == 1
        assert "Traceback" not in service.log


def test_a_service_is_healthy_when_it_consumes_and_logs_json_if_asked(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "events.db"
    with Service("sqlite_sink", amqp_url=amqp_vhost_url, sqlite_path=path, log_format="json") as service:
        service.wait_healthy()
        assert {name for name, one in service.health()["parts"].items() if one["ok"]} == {
            "broker",
            "consuming",
            "store",
        }
        publish(amqp_vhost_url, whole_run(4, 5))
        wait_until_stored(1, f"sqlite:{path}")
        wait_until(
            lambda: "taskgen_events_total 20.0" in service.get("/metrics")[1], 10, "its events counted"
        )
        metrics = service.get("/metrics")[1]
        assert "taskgen_frames_total 4.0" in metrics
        assert "taskgen_lag_seconds_count 4.0" in metrics
        assert "taskgen_consuming 1.0" in metrics
        assert service.get("/else")[0] == 404
        assert service.stop() == 0
        lines = [json.loads(line) for line in service.log.splitlines()]
        assert {"event", "level", "timestamp"} <= lines[0].keys()
