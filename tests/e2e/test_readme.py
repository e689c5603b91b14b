"""What README.md shows works as it is written there, and prints what stands below it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from docs.pictures.make import run, simulated_boards
from taskgen.distributor import Distributor
from taskgen.event import AbstractEventHandler
from taskgen.loading.taskset_files import read_taskset
from taskgen.simulation import run_boards

ROOT = Path(__file__).parents[2]
LOOPBACK = f"127.{100 + os.getpid() // 256 % 100}.{os.getpid() % 256}."
"""Of this process: others, on the same machine, may use the addresses of the README at this moment."""
README = (ROOT / "README.md").read_text().replace("127.0.10.", LOOPBACK)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def typed(block: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        yield command, printed


SESSION = [pair for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for pair in typed(block)]
PRINTED = dict(SESSION)


def likened(lines: list[str]) -> list[str]:
    """Lines without what differs from one time to the next: ids, times, boards, and who came first."""
    text = "\n".join(" ".join(Text.from_ansi(line).plain.split()) for line in lines)
    text = re.sub(r"\.venv/bin/taskgen", "taskgen", text)
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "TIME", text)
    text = re.sub(rf"{re.escape(LOOPBACK)}\d+", "BOARD", text)
    text = re.sub(r"\b\d+\.\d\b", "SECONDS", text)
    text = re.sub(r"^events [\d,]+", "events N", text, flags=re.MULTILINE)
    text = re.sub(r"^misses \d+ of 630", "misses N of 630", text, flags=re.MULTILINE)  # cond_mod varies
    return sorted(text.strip().splitlines())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a clone has after `make demo`, as far as the tour needs it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path


def test_make_demo_prints_what_is_shown(folder: Path) -> None:
    assert ".venv/bin/taskgen demo" in made("demo")
    assert likened(run("taskgen demo", folder)) == likened(PRINTED["make demo"])


def test_make_test_runs_the_linter_the_type_checker_and_the_tests() -> None:
    commands = made("test")
    places = [commands.index(tool) for tool in ("ruff check", "ruff format --check", "bin/mypy", "-m pytest")]
    assert places == sorted(places)
    first, *_, workers, _, _, _ = PRINTED["make test"]
    assert re.fullmatch(r"Success: no issues found in \d+ source files", first)
    assert re.fullmatch(r"(\d+) workers \[\d+ items\]", workers)
    assert f"--numprocesses {workers.split()[0]} " in commands


def made(target: str) -> str:
    """What make would do for a target."""
    return subprocess.run(
        ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_every_command_of_the_tour_prints_what_is_shown(folder: Path) -> None:
    tour = [(command, printed) for command, printed in SESSION if command.startswith("taskgen ")]
    assert len(tour) > 3
    with ExitStack() as stack:
        for command, printed in tour:
            if command.endswith("&"):
                boards = stack.enter_context(simulated_boards(command.removesuffix("&"), folder))
                assert boards.stdout is not None
                shown = [boards.stdout.readline() for _ in printed]
            else:
                shown = run(command, folder)
            assert likened(shown) == likened(printed), command


def test_the_ten_lines_are_ten_and_print_what_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = [code for code in PYTHON if "run_boards" in code]
    (printed,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(folder)
    exec(program, {})
    assert len([line for line in program.splitlines() if line]) == 10
    assert likened(capsys.readouterr().out.splitlines()) == likened(printed.splitlines())


def test_your_own_handler_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = [code for code in PYTHON if "class YourHandler" in code]
    names: dict[str, Any] = {}
    exec(shown, names)
    handler = names["YourHandler"]()
    assert isinstance(handler, AbstractEventHandler)
    with run_boards(1, speed=20.0) as boards, Distributor(boards, event_handler=handler) as distributor:
        campaign = distributor.start(read_taskset(str(ROOT / "examples" / "two_tasks.xml")))
    assert campaign.outcomes == {"finished": 1}
    assert distributor.handler_failures == {}
    assert "1 ['EXIT', 'EXIT', 'EXIT']" in capsys.readouterr().out


def test_the_json_task_set_has_as_many_variants_as_it_says(tmp_path: Path) -> None:
    (shown,) = re.findall(r"`(\{\"taskset\".*?\})` has six", README)
    (tmp_path / "a.json").write_text(json.dumps(json.loads(shown)))
    assert read_taskset(str(tmp_path / "a.json")).count_variants() == 6


def test_the_keys_of_the_summary_are_those_that_are_listed(folder: Path) -> None:
    (table,) = re.findall(r"\| key \| value \|\n(.*?)\n\n", README, re.DOTALL)
    listed = [key for row in table.splitlines() for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    with run_boards(1, speed=20.0) as (board,):
        (summary,) = run(f"taskgen run examples/two_tasks.xml --board {board} --json --csv a.csv", folder)
    assert sorted(json.loads(summary)) == sorted(listed)


def test_files_and_pages_that_the_readme_names_are_there() -> None:
    named = set(re.findall(r"\]\(([^)#]+)\)", README)) | set(re.findall(r"examples/\w+\.\w+", README))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_commands_for_docker_are_those_of_the_page_that_explains_them() -> None:
    shown = re.findall(r"^    (docker compose .*?)(?:  +#.*)?$", README, re.MULTILINE)
    explained = (ROOT / "docs" / "services.md").read_text()
    assert len(shown) == 3
    assert [command for command in shown if command not in explained] == []
