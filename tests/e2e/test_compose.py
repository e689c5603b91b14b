"""The real thing: the lab under docker compose, a campaign in it, replicas, crashes, and nothing lost."""

import json
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.compose import Compose, compose, engine_error
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]

BOARDS = 8
RUNS = 160
CAMPAIGN = {
    "taskset": {
        "periodictask": [
            {"pkg": "hey", "period": 50, "numberofjobs": 30, "priority": 10},
            {"pkg": "tumatmul", "period": 100, "numberofjobs": 15, "priority": [20, 30]},
        ]
    }
}
CAMPAIGN_S = 300
STORES = ("sqlite:/data/sqlite/events.db", "csv:/data/csv", "postgresql://")
SINKS = ("sqlite_sink", "csv_sink", "postgres_sink")
SERVICES = ("distributor", "controller", *SINKS)
SERVERS = ("rabbitmq", "postgres")
PROFILES = ("boards", "handler")
EVERYTHING = (*SERVICES, *SERVERS, *PROFILES)
SCALED = {"sqlite_sink": 3, "csv_sink": 2, "postgres_sink": 2, "distributor": 2}
MODULES = {"pika": {*SERVICES}, "psycopg": {"controller", "postgres_sink"}, "pip": set()}
"""Which services' images hold what."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if (error := engine_error()) is not None:
        if os.environ.get("TASKGEN_REQUIRE_COMPOSE"):
            pytest.fail(error, pytrace=False)
        pytest.skip(error)
    tasksets = tmp_path_factory.mktemp("tasksets")
    tasksets.chmod(0o755)
    (tasksets / "campaign.json").write_text(json.dumps(CAMPAIGN))
    variables = {
        "TASKGEN_TASKSETS_DIR": str(tasksets),
        "TASKGEN_BOARDS": ",".join(f"boards:{3001 + number}" for number in range(BOARDS)),
        "TASKGEN_DEMO_BOARDS": str(BOARDS),
    }
    with compose(variables) as project:
        project.up("--build")
        yield project


@pytest.fixture(autouse=True)
def _logs(request: pytest.FixtureRequest, lab: Compose) -> Iterator[None]:
    """Show what the services said when a test has failed."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        sys.stderr.write(lab.logs())


def healthy(lab: Compose, service: str) -> int:
    """How many replicas say that they do their work."""
    return sum(container["Health"] == "healthy" for container in lab.containers(service))


def replicas(lab: Compose) -> dict[str, int]:
    return {name: healthy(lab, name) for name in SCALED}


def crash(lab: Compose, service: str) -> None:
    """End what runs in a service's first container; return when the engine has started it again."""
    crashed = lab.crash(service)
    wait_until(lambda: lab.inspect(crashed)["RestartCount"] == 1, 60, f"{service} to be started again")


def test_everything_is_healthy_without_a_setting_or_password_given(lab: Compose) -> None:
    assert {name: healthy(lab, name) for name in EVERYTHING} == dict.fromkeys(EVERYTHING, 1)


@pytest.mark.parametrize("service", EVERYTHING)
def test_a_container_is_contained(lab: Compose, service: str) -> None:
    found = lab.inspect(lab.containers(service)[0]["ID"])
    host, config = found["HostConfig"], found["Config"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Init"]
    assert host["Memory"]
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert config["User"] not in ("", "root", "0")
    assert {address["HostIp"] for bound in host["PortBindings"].values() for address in bound} <= {
        "127.0.0.1"
    }
    assert not [name for name in config["Env"] if re.search(r"PASS(WORD)?=|://[^/]*:[^/]*@", name)]


@pytest.mark.parametrize("service", [*SERVICES, "boards"])
def test_an_image_holds_what_its_service_needs_and_no_more(lab: Compose, service: str) -> None:
    code = f"from importlib.util import find_spec; print([n for n in {list(MODULES)} if find_spec(n)])"
    expected = [name for name, services in MODULES.items() if service in services]
    assert lab.python(service, code).stdout.strip() == str(expected)


@pytest.mark.parametrize("queue", ["taskgen.sink.csv", "taskgen.tasksets", "taskgen.controller"])
def test_a_sink_reads_no_queue_but_its_own(lab: Compose, queue: str) -> None:
    code = (
        "import pika; from taskgen.runtime.settings import *;"
        "p = pika.URLParameters(load_settings(ServiceSettings).amqp_url);"
        f"pika.BlockingConnection(p).channel().basic_get({queue!r})"
    )
    assert "ACCESS_REFUSED" in lab.python("sqlite_sink", code).stderr


def test_a_campaign_survives_replicas_that_come_and_services_that_crash(lab: Compose) -> None:
    with ThreadPoolExecutor(1) as pool:
        repeats = str(RUNS // 2)
        command = ("submit", "campaign.json", "--repeat", repeats, "--wait")
        campaign = pool.submit(lab.cli, *command, timeout_s=CAMPAIGN_S)
        wait_until(lambda: stored_runs(lab) >= 5 or campaign.done(), 120, "the first runs to be stored")
        lab.up(*(f"--scale={name}={number}" for name, number in SCALED.items()))
        assert replicas(lab) == SCALED

        for service in (*SINKS, "distributor", "controller", "rabbitmq"):
            crash(lab, service)
        assert not campaign.done(), "the campaign was over before the last crash: nothing was shown"
        done = campaign.result(timeout=CAMPAIGN_S)
    assert done.returncode == 0, done.stdout + done.stderr

    wait_until(lambda: stored_runs(lab) >= RUNS, 60, "all runs to be stored")
    wait_until(lambda: lab.cli("verify", *STORES).returncode == 0, 120, "the three stores to agree")
    wait_until(lambda: replicas(lab) == SCALED, 90, "what crashed to be healthy again")


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "parked list",
        "parked list taskgen.sink.csv",
        "parked redrive taskgen.sink.csv",
        "parked drop --yes taskgen.controller",
        "reboot boards:3001",
        "stop --all",
    ],
)
def test_the_permissions_of_people_suffice_for_every_command(lab: Compose, command: str) -> None:
    done = lab.cli(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_queue_has_limits_so_that_a_message_that_kills_its_consumer_is_dead_lettered(
    lab: Compose,
) -> None:
    listed = lab.do("exec", "--no-TTY", "rabbitmq", "rabbitmqctl", "--quiet", "list_queues", "name", "policy")
    policies = dict(line.split("\t") for line in listed.splitlines()[1:])
    consumed = {queue.removesuffix(".parked") for queue in policies if queue.endswith(".parked")}
    of_handlers = "taskgen.handler"  # one policy for all of them
    limits = {queue: of_handlers if queue.startswith(f"{of_handlers}.") else queue for queue in consumed}
    assert {queue: policies[queue] for queue in consumed} == limits
    assert "taskgen.handler.yours" in consumed


def test_what_is_stored_can_be_read_while_its_sink_is_stopped(lab: Compose) -> None:
    lab.do("stop", *SINKS)
    done = lab.cli("verify", *STORES)
    assert done.returncode == 0, done.stdout + done.stderr
    looked_at = re.search(r"([\d,]+) checked", done.stdout)
    assert looked_at is not None
    assert int(looked_at[1].replace(",", "")) >= RUNS


def stored_runs(lab: Compose) -> int:
    """How many runs with a result the database of the sqlite sink has."""
    code = (
        "import sqlite3; print(sqlite3.connect('/data/events.db')"
        ".execute(\"SELECT count(*) FROM runs WHERE outcome = 'finished'\").fetchone()[0])"
    )
    done = lab.python("sqlite_sink", code)
    return int(done.stdout) if done.returncode == 0 else 0
