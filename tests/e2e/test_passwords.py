"""A password is never said again: not by a command, a service or a log, however its address was mistyped."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskgen.cli import main
from taskgen.errors import TaskgenError
from taskgen.runtime.settings import ServiceSettings, load_settings
from taskgen.state.opening import open_state
from tests.support.command_line import run_taskgen, write_taskset
from tests.support.services import Service
from tests.support.waiting import wait_until

SECRET = "hunter2zq"
CLOSED = "127.0.0.1:1"
"""Nobody listens on port 1."""

PASSWORDS = (
    SECRET,
    *(f"a{odd}{SECRET}{odd}b" for odd in "@/?#%:&=,;[]|\\'\" "),
    f"%68{SECRET}%40x",
    f"é{SECRET}",
)

DSNS = (
    "postgresql://user:{}@127.0.0.1:1/events",
    "postgres://user:{}@127.0.0.1:1/events?sslmode=disable",
    "postgresql://user:{}@127.0.0.1:1,127.0.0.1:2/events",
    "postgresql://user:{}@[::1]:1/events",
    "postgresql://:{}@127.0.0.1:1/events",
    "postgresql://127.0.0.1:1/events?user=u&password={}",
    "postgresql://u:p@127.0.0.1:1/events?sslpassword={}",
    "postgresql:///events?host=127.0.0.1&port=1&password={}",
    "host=127.0.0.1 port=1 user=u password={} dbname=events",
    "host=127.0.0.1 port=1 user=u password='{}' dbname=events",
    "password = {} host = 127.0.0.1 port = 1",
    "host=127.0.0.1 port=1 connect_timeout=5password={}",
    "dbname=postgresql://user:{}@127.0.0.1:1/events host=127.0.0.1 port=1",
)
MISTYPED_DSNS = (
    "postgre://user:{}@127.0.0.1:1/events",
    "postgresql:/user:{}@127.0.0.1:1/events",
    "postgresql//user:{}@127.0.0.1:1/events",
    "postgresql:user:{}@127.0.0.1:1/events",
    "postgresql://user{}@127.0.0.1:1/events",
    "postgresql://user:{}127.0.0.1:1/events",
    "postgresql://user%3A{}%40127.0.0.1:1/events",
    "postgresql%3A//user:{}%40127.0.0.1:1/events",
    "postgresql://user:{}@127.0.0.1:1x/events",
    "postgresql://u:p@127.0.0.1:1/events?pasword={}",
    "postgresql://u:p@127.0.0.1:1/events?password=x&{}",
    "user:{}@127.0.0.1/events",
    "host=127.0.0.1 pasword={}",
    "host=127.0.0.1 port=1 user=upassword={}",
    "host=127.0.0.1 port=1 user=u:{}@h",
    "sqlite:user:{}@127.0.0.1/events",
    "sqlite://user:{}@127.0.0.1/events",
    "sqlite:postgresql://user:{}@127.0.0.1/events",
)
AMQP_URLS = (
    "amqp://user:{}@127.0.0.1:1/%2F",
    "amqp://user:{}@127.0.0.1:1/%2F?heartbeat=5",
    "amqps://user:{}@127.0.0.1:1/",
    "amqp://:{}@127.0.0.1:1/",
)
MISTYPED_AMQP_URLS = (
    "amqp://user{}@127.0.0.1:1/",
    "amqp://user:{}127.0.0.1:1/",
    "amqp://u:p@127.0.0.1:1/?heartbeat=5password={}",
    "amqp://u:p@127.0.0.1:1/?password={}",
    "amqp://u:p@127.0.0.1:1/?{}",
    "amqps://u:p@127.0.0.1:1/?ssl_options={{'ca_certs':'/no/{}'}}",
    "amqps://u:p@127.0.0.1:1/?ssl_options={{'password':'{}'",
    "ampq://user:{}@127.0.0.1:1/",
    "amqp:/user:{}@127.0.0.1:1/",
    "amqp//user:{}@127.0.0.1:1/",
    "user:{}@127.0.0.1:1/",
    "http://user:{}@127.0.0.1:1/",
)


def spelled(right: tuple[str, ...], mistyped: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Addresses; of the right ones many with a character too many, too few or wrong before the host."""

    def edited(template: str, password: str, edit: tuple[str, int, str] | None) -> str:
        before, behind = template.split("{}")
        if edit is not None:
            how, place, character = edit
            begin = place % len(before) if before else 0
            end = begin if how == "insert" else begin + 1
            before = before[:begin] + ("" if how == "delete" else character) + before[end:]
        return (before + password + behind).replace("{{", "{").replace("}}", "}")

    edits = st.tuples(
        st.sampled_from(["insert", "delete", "replace"]),
        st.integers(0, 100),
        st.sampled_from([*"@/?#%:&=,; '\"x1"]),
    )
    passwords = st.sampled_from(PASSWORDS)
    plain = st.builds(edited, st.sampled_from(right + mistyped), passwords, st.none())
    # Nobody but 127.0.0.1 is to be asked.
    before_the_host = tuple(one for one in right if "1" not in one.split("{}")[0])
    return plain | st.builds(edited, st.sampled_from(before_the_host), passwords, edits)


def said_by(*arguments: str) -> str:
    """All that a command says, run to its end in this process."""
    root = logging.getLogger()
    handlers, level, argv = root.handlers, root.level, sys.argv
    output = io.StringIO()
    try:
        sys.argv = ["taskgen", *arguments]
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            pytest.raises(SystemExit),
        ):
            main()
    finally:
        sys.argv = argv
        root.handlers = handlers
        root.setLevel(level)
    return output.getvalue()


def error_of(call: Callable[[], object]) -> str:
    """What goes wrong, as it is reported and as its cause; empty if nothing does."""
    try:
        call()
    except TaskgenError as error:
        return f"{error} {error.__cause__}"
    return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where files may be made: an address can be a path as well."""
    path = tmp_path_factory.mktemp("passwords")
    with contextlib.chdir(path):
        yield path


many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(spelled(DSNS, MISTYPED_DSNS))
@many
def test_verify_and_show_print_no_password(folder: Path, address: str) -> None:
    for arguments in (("verify", address), ("show", address), ("show", f"--run={address}", "none.db")):
        said = said_by(*arguments)
        assert said.startswith("taskgen: ")
        assert SECRET not in said


@given(spelled(DSNS, MISTYPED_DSNS))
@many
def test_a_state_shows_no_password(folder: Path, address: str) -> None:
    assert SECRET not in error_of(lambda: open_state(address).check())


@given(spelled(AMQP_URLS, MISTYPED_AMQP_URLS))
@many
def test_commands_of_the_broker_print_no_password(folder: Path, address: str) -> None:
    for option in (f"--amqp-url={address}", f"--amqp-rul={address}", address):
        said = said_by("status", option)
        assert said.startswith("taskgen: ")
        assert SECRET not in said


@given(spelled(AMQP_URLS, MISTYPED_AMQP_URLS))
@many
def test_errors_about_settings_show_no_password(address: str) -> None:
    for name in ("amqp_url", "management_url", "http_port", "log_level"):
        assert SECRET not in error_of(partial(load_settings, ServiceSettings, **{name: address}))


DSN = f"postgresql://user:{SECRET}@{CLOSED}/events"
BROKER = f"amqp://user:{SECRET}@{CLOSED}/"
WRONG = (
    ("verify", DSN),
    ("verify", DSN.replace("postgresql", "postgre")),
    ("verify", DSN.replace(SECRET, f"a%{SECRET}")),
    ("verify", DSN.replace(SECRET, f"a/{SECRET}")),
    ("verify", f"host=127.0.0.1 port=1 pasword={SECRET}"),
    ("show", DSN),
    ("run", "taskset.json", "--board", "127.0.0.1:1", "--sqlite", DSN),
    ("run", "taskset.json", "--board", "127.0.0.1:1", "--csv", DSN),
    ("submit", "taskset.json", "--amqp-url", BROKER),
    ("submit", "taskset.json", "--amqp-url", BROKER.replace("amqp", "ampq")),
    ("submit", "taskset.json", "--amqp-url", BROKER.replace(SECRET, f"a@{SECRET}")),
    ("submit", BROKER, "taskset.json"),
    ("status", BROKER),
    ("status", "--amqp-url", BROKER),
    ("status", "--management-url", f"http://user:{SECRET}@{CLOSED}:2"),
    ("stop", "--all", "--amqp-url", BROKER),
    ("parked", "list", "--amqp-url", BROKER),
    ("setup", "--amqp-url", BROKER),
    ("reboot", BROKER),
    ("handle", "examples.your_handler:YourHandler", "--name", BROKER),
    (BROKER,),
)


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_command_prints_no_password(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    write_taskset(tmp_path, {"pkg": "hey", "period": 100})
    done = run_taskgen(*arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stderr.splitlines()[-1].startswith("taskgen: ")
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr


SERVICES = (
    ("postgres_sink", "postgres_dsn", DSN.replace("postgresql", "postgre")),
    ("postgres_sink", "postgres_dsn", DSN.replace(SECRET, f"a%{SECRET}")),
    ("postgres_sink", "postgres_dsn", f"host=127.0.0.1 password='{SECRET}"),
    ("controller", "state_url", DSN.replace("postgresql", "postgre")),
    ("controller", "state_url", DSN.replace(SECRET, f"a@{SECRET}")),
    ("controller", "state_url", f"password={SECRET} host=127.0.0.1"),
    ("controller", "amqp_url", BROKER.replace("amqp", "ampq")),
    ("sqlite_sink", "amqp_url", BROKER.replace(SECRET, f"a/{SECRET}")),
    ("distributor", "amqp_url", f"{BROKER}?heartbeat=5password={SECRET}"),
)


@pytest.mark.parametrize(("service", "name", "value"), SERVICES)
def test_a_service_logs_no_password(service: str, name: str, value: str) -> None:
    with Service(service, boards="127.0.0.1:1", **{name: value}) as running:
        assert running.process.wait(timeout=60) == 2
        assert f"{service}: TASKGEN_{name.upper()}: " in running.log
        assert SECRET not in running.log


@pytest.mark.servers
@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("postgres_sink", "postgres_dsn", f"host=127.0.0.1 port=1 user=u password='{SECRET}'"),
        ("controller", "state_url", DSN),
        ("sqlite_sink", "sqlite_path", DSN),
        ("csv_sink", "csv_dir", DSN),
    ],
)
def test_a_service_whose_store_cannot_be_opened_logs_no_password(
    amqp_vhost_url: str, service: str, name: str, value: str
) -> None:
    def has_said_why() -> bool:
        return running.process.poll() is not None or "store: postgresql://" in running.log

    with Service(service, amqp_url=amqp_vhost_url, **{name: value}) as running:
        wait_until(has_said_why, 60, "the service to say that it has no store")
        assert SECRET not in running.log + running.get("/healthz")[1]


@pytest.mark.servers
def test_a_refusal_shows_no_password(amqp_vhost_url: str, postgres_database: str, tmp_path: Path) -> None:
    for command, url in (
        ("verify {}", with_password(postgres_database)),
        ("verify {}", with_password(postgres_database).replace(f"user:{SECRET}", SECRET)),
        ("status --amqp-url {}", with_password(amqp_vhost_url)),
    ):
        done = run_taskgen(*command.format(url).split(), cwd=tmp_path)
        assert done.returncode == 1
        assert "check user, password" in done.stderr
        assert SECRET not in done.stderr


def with_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"user:{SECRET}@{parts.hostname}:{parts.port}").geturl()
