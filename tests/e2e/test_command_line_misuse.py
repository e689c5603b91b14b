"""A user's mistake gets one line that says what to write instead, and exit code 2; no board is touched."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import run_taskgen

TASKSETS = {
    "good": [{"pkg": "hey"}],
    "same_id": [{"pkg": "hey", "id": 1}, {"pkg": "hey", "id": 1}],
    "bad_unit": [{"pkg": "hey", "quota": "1 MiB"}],
    "bad_path": [{"pkg": "bin/hey"}],
    "too_long": [{"pkg": "a-name-of-sixteen"}],
    "unknown": [{"pkg": "hey", "prio": 1}],
    "other_binary": [{"pkg": "hey"}, {"pkg": "gone"}],
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with task-sets, good and bad, and other files."""
    for name, tasks in TASKSETS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"taskset": {"periodictask": tasks}}))
    (tmp_path / "broken.json").write_text('{"taskset":\n  {]}')
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be taken for one" * 20)
    (tmp_path / "binaries").mkdir()
    (tmp_path / "binaries" / "hey").write_bytes(b"hey")
    (tmp_path / "mine.py").write_text(
        "from taskgen.boards.session import AbstractSession\n"
        "class NoHandler:\n    pass\ndef failing():\n    raise OSError('no disk')\n"
        "class Half(AbstractSession):\n"
        "    async def connect(self): ...\n    async def receive(self, timeout_s): ...\n"
        "    async def start(self, taskset): ...\n    async def stop(self, *, is_finished): ...\n"
    )
    return tmp_path


@pytest.fixture
def board() -> Iterator[str]:
    """The address of something that must not be reached."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run good.json --board BOARD --sqlite one.x --csv ./one.x", "two stores use the same file, one.x;"),
        ("show mine.csv", "mine.csv: show reads only databases of --sqlite; `taskgen report` reads this"),
        ("run good.json --board BOARD --sqlite a.db --store sqlite:b.db", "sqlite is given twice;"),
        (
            "run good.json --board BOARD --store nosuch:a",
            "'nosuch:a' is not a store; write sqlite:PATH, csv:PATH",
        ),
        ("run same_id.json --board BOARD", "same_id.json: task 1: id: 1 is already in use"),
        ("run bad_unit.json --board BOARD", "bad_unit.json: task 0 (id 0): quota: '1 MiB' is not an amount"),
        ("run bad_path.json --board BOARD", "bad_path.json: task 0 (id 0): pkg: 'bin/hey' is not a valid"),
        (
            "run too_long.json --board BOARD",
            "too_long.json: task 0 (id 0): pkg: a binary's name has at most 15",
        ),
        (
            "run unknown.json --board BOARD",
            "unknown.json: task 0: prio: unknown parameter; valid ones are caps,",
        ),
        ("run broken.json --board BOARD", "broken.json: not JSON: line 2, column 4"),
        ("run gone.json --board BOARD", "gone.json: cannot be read: No such file"),
        ("run good.yaml --board BOARD", "good.yaml: is not a task-set; give a .xml or .json file"),
        ("run good.json same_id.json --board BOARD", "same_id.json: task 1"),
        ("run mine:failing --board BOARD", "mine:failing: OSError: no disk"),
        ("run other_binary.json --binaries binaries --board BOARD", "pkg: there is no binary 'gone'"),
        ("run good.json --binaries nowhere --board BOARD", "nowhere is not a folder"),
        ("run good.json --board 300.1.2.3", "'300.1.2.3' is not an address of a board; write '172.25.1.2'"),
        ("run good.json --board 127.0.0.1:0", "'0' is not a port; write a number from 1 to 65535"),
        ("run good.json --board 127.0.0.0/8", "the maximum is 65536"),
        ("run good.json --board BOARD --port 70000", "--port"),
        ("run good.json --board BOARD --port x", "--port"),
        ("run good.json --board BOARD --max-attempts 0", "--max-attempts"),
        (
            "run good.json --board BOARD --retry-on EXIT_ERROR,EXIT",
            "there is no retry on 'EXIT'; choose from EXIT_ERROR, OUT_OF_QUOTA, OUT_OF_CAPS, TOO_FEW_JOBS",
        ),
        ("run good.json --board BOARD --run-timeout -1", "--run-timeout"),
        ("run good.json --board BOARD --sqllite a.db", "No such option: --sqllite"),
        ("run good.json", "Missing option '--board'"),
        ("run --board BOARD", "Missing argument"),
        (
            "run good.json --board BOARD --handler mine:NoHandler",
            "mine:NoHandler: its result, of class NoHandler, is not an event",
        ),
        ("run good.json --board BOARD --handler gone:Class", "gone:Class: there is no module 'gone'"),
        ("run good.json --board BOARD --handler mine.py", "write, for example, mine:NAME"),
        (
            "run good.json --board BOARD --session mine:NoHandler",
            "is not a session class; write MODULE:CLASS",
        ),
        ("run good.json --board BOARD --session gone:Class", "gone:Class: there is no module 'gone'"),
        (
            "run good.json --board BOARD --session mine:Half",
            "mine:Half: Half does not implement close, reboot",
        ),
        (
            "run good.json --board 127.0.61.1-4",
            "'127.0.61.1-4' is not an address of a board; write a range as",
        ),
        ("run good.json --board BOARD --sqlite nowhere/a.db", "there is no folder nowhere"),
        ("run good.json --board BOARD --sqlite text.db", "text.db: "),
        ("run good.json --board BOARD --csv good.json", "good.json: "),
        ("run good.json --board BOARD --admission-control broken.json", "broken.json: not JSON"),
        ("run good.json --board BOARD --admission-control gone.xml", "gone.xml: cannot be read"),
        (
            "run good.json --board BOARD --admission-control good.json",
            "good.json: <taskset> is a task-set, not admission control data",
        ),
        ("demo --boards 0", "--boards"),
        ("demo --out good.json", "cannot create good.json"),
        ("show gone.db", "gone.db: there is no such file"),
        ("show text.db", "text.db: "),
        ("board --listen nowhere", "'nowhere' is not an IPv4 address or range: "),
        ("board --fault tired", "unknown fault 'tired'; choose from"),
        ("status --amqp-url amqp://127.0.0.1:99999/", "--amqp-url: has an invalid host or port; write"),
        ("status --amqp-url amqp://127.0.0.1:abc/", "write amqp://user:password@host:5672/vhost"),
        ("status --amqp-url amqp://[::1/", "--amqp-url: has an invalid host"),
        (
            "parked list --amqp-url amqp://h/?ssl_options=(",
            "--amqp-url: amqp://h/: '(' was never closed",
        ),
        ("setup --amqp-url amqps://h/?ssl_options={'ca_certs':'/no'}", "invalid ssl_options: [Errno 2] No"),
        ("setup --management-url http://127.0.0.1:abc", "--management-url: has an invalid host or port"),
        ("fly", "No such command 'fly'"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(here: Path, board: str, command: str, said: str) -> None:
    ended = run_taskgen(*command.replace("BOARD", board).split(), cwd=here)
    assert ended.returncode == 2, ended
    assert ended.stdout == ""
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("taskgen")
    assert not (here / "one.x").exists()


def test_a_wrong_variable_is_named_where_no_option_is_given(here: Path) -> None:
    ended = run_taskgen("status", cwd=here, TASKGEN_AMQP_URL="amqp://127.0.0.1:99999/")
    assert ended.returncode == 2
    assert ended.stderr.startswith("taskgen: TASKGEN_AMQP_URL: has an invalid host")


def test_no_command_at_all_shows_the_commands(here: Path) -> None:
    ended = run_taskgen(cwd=here)
    assert ended.returncode == 2
    assert {name for name in ("run", "board", "demo", "show") if f" {name} " in ended.stdout} == {
        "run",
        "board",
        "demo",
        "show",
    }


def test_the_version_is_the_package_s(here: Path) -> None:
    ended = run_taskgen("--version", cwd=here)
    assert ended.returncode == 0
    assert ended.stdout.startswith("taskgen 0.")
