"""A lab under docker compose whose sinks were away while boards said a million events."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.flooding_boards import SHAPES
from tests.support.command_line import run_taskgen
from tests.support.compose import Compose, compose, engine_error
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2400)]

BOARDS = 8
RUNS = 20
"""Of each kind of frames."""
JOBS = {"ordinary": 25_000, "children": 2_500, "long": 2_500, "huge": 2}
"""Of a run: a million events in ordinary frames, and in larger ones fewer, of as many bytes and more."""
EVENTS = 2 * RUNS * sum(JOBS.values())
SINKS = ("sqlite_sink", "csv_sink", "postgres_sink")
SERVICES = ("distributor", "controller", "handler", *SINKS)
SERVERS = ("rabbitmq", "postgres")
CAMPAIGN_S = 1200
DRAIN_S = 900


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if (error := engine_error()) is not None:
        if os.environ.get("TASKGEN_REQUIRE_COMPOSE"):
            pytest.fail(error, pytrace=False)
        pytest.skip(error)
    tasksets = tmp_path_factory.mktemp("tasksets")
    tasksets.chmod(0o755)
    for kind, jobs in JOBS.items():
        task = {"pkg": kind, "period": 1, "numberofjobs": jobs}
        (tasksets / f"{kind}.json").write_text(json.dumps({"taskset": {"periodictask": [task]}}))
    variables = {
        "COMPOSE_FILE": "docker-compose.yml:tests/e2e/flooding.yml",
        "TASKGEN_TASKSETS_DIR": str(tasksets),
        "TASKGEN_BOARDS": ",".join(f"boards:{3001 + number}" for number in range(BOARDS)),
        "TASKGEN_HANDLE": "taskgen.event:DefaultEventHandler",
        "TASKGEN_HANDLE_NAME": "flooded",
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


def test_a_backlog_of_a_million_events_is_stored_whole_in_half_of_the_memory(
    lab: Compose, tmp_path: Path
) -> None:
    lab.do("stop", *SINKS)
    files = [f"{kind}.json" for kind in JOBS]
    submitted = lab.cli("submit", *files, "--repeat", str(RUNS), "--wait", timeout_s=CAMPAIGN_S)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    away = {f"taskgen.sink.{kind}" for kind in ("sqlite", "csv", "postgres")}
    assert min(messages(lab)[name] for name in away) > 0
    status = json.loads(lab.cli("status", "--json").stdout)
    assert {queue["name"] for queue in status["queues"] if queue["lacks_consumer"]} == away
    assert status["held_unknown"] == "", "people's rights are enough to know it"
    lab.do("start", *SINKS)
    wait_until(lambda: not any(messages(lab).values()), DRAIN_S, "all queues to be empty")

    for service in (*SERVICES, *SERVERS):
        (container,) = lab.containers(service)
        found = lab.inspect(container["ID"])
        assert (found["RestartCount"], found["State"]["OOMKilled"]) == (0, False), service
    limits = {one: lab.inspect(lab.containers(one)[0]["ID"])["HostConfig"]["Memory"] for one in SERVICES}
    peaks = {one: most_memory(lab, one) for one in SERVICES}
    assert {one: peak for one, peak in peaks.items() if peak >= limits[one] / 2} == {}

    done = lab.cli("verify", "sqlite:/data/sqlite/events.db", "postgresql://")
    assert is_clean(done.stdout, done.returncode), done.stdout + done.stderr
    lab.do("stop", "sqlite_sink", "csv_sink")
    lab.do("cp", "sqlite_sink:/data", str(tmp_path / "sqlite"))
    lab.do("cp", "csv_sink:/data", str(tmp_path / "csv"))
    # The container of `cli` has no room for what `verify` makes of so long a CSV.
    done = run_taskgen("verify", "sqlite:sqlite/events.db", "csv:csv", cwd=tmp_path)
    assert is_clean(done.stdout, done.returncode), done.stdout + done.stderr


def messages(lab: Compose) -> dict[str, int]:
    """How many messages there are in each queue, with those that are parked and those that are held."""
    listed = lab.do(
        "exec", "--no-TTY", "rabbitmq", "rabbitmqctl", "--quiet", "list_queues", "name", "messages"
    )
    lines = (line.split("\t") for line in listed.splitlines()[1:])
    return {name: int(count) for name, count in lines if name.startswith("taskgen.")}


def most_memory(lab: Compose, service: str) -> int:
    """Bytes that its largest process ever had in memory.

    The peak that the kernel notes for the container is no measure: it counts the cache of every file that was
    written, which takes no room from anybody.
    """
    status = lab.do("exec", "--no-TTY", service, "sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null; true")
    return 1024 * max(map(int, re.findall(r"VmHWM:\s+(\d+) kB", status)))


def is_clean(report: str, code: int) -> bool:
    """Whether two stores have all events of all runs."""
    counts = re.findall(r"^events\s+([\d,]+) in ", report, re.MULTILINE)
    looked_at = re.search(r"([\d,]+) checked", report)
    return (code, counts, looked_at and looked_at[1]) == (0, [f"{EVENTS:,}"] * 2, str(RUNS * len(SHAPES)))
