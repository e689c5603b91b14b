"""More boards than files may be open: the limit is raised for them, or they are refused in one line."""

import subprocess
import sys
from pathlib import Path

from taskgen.simulation import run_boards
from tests.support.command_line import DEADLINE_S, environment, write_taskset

BOARDS = 100


def limited(limit: str, *command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module under a limit of open files, to its end."""
    return subprocess.run(
        ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", sys.executable, "-m", *command],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_a_low_soft_limit_is_raised_so_that_all_boards_can_work(tmp_path: Path) -> None:
    path = write_taskset(tmp_path, {"pkg": "hey", "period": 100, "priority": [7] * BOARDS})
    with run_boards(BOARDS, speed=20) as addresses:
        options = [f"--board={address}" for address in addresses]
        ended = limited("-S -n 64", "taskgen", "run", str(path), *options, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"{BOARDS} finished" in ended.stdout
    assert "Too many open files" not in ended.stderr


def test_boards_that_the_hard_limit_forbids_are_refused_in_one_line(tmp_path: Path) -> None:
    path = write_taskset(tmp_path, {"pkg": "hey", "period": 100})
    ended = limited(
        "-n 64", "taskgen", "run", str(path), "--board=127.0.10.0/25", "--csv=a.csv", cwd=tmp_path
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "126 boards need 382 open files, but this process may open only 64" in ended.stderr
    assert "ulimit -n 382" in ended.stderr


def test_the_service_refuses_them_too(tmp_path: Path) -> None:
    ended = limited(
        "-n 64",
        "services.distributor",
        cwd=Path(__file__).parents[2],
        TASKGEN_BOARDS="127.0.10.0/25",
        TASKGEN_AMQP_URL="amqp://guest:guest@127.0.0.1:1/",
        TASKGEN_OUTBOX_PATH=str(tmp_path / "outbox"),
        TASKGEN_HTTP_PORT="0",
    )
    assert ended.returncode == 2, ended.stderr
    assert "distributor: 126 boards need 382 open files" in ended.stderr.splitlines()[-1]
