"""What README.md shows works as it is written there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from taskgen.distributor import Distributor
from taskgen.event import AbstractEventHandler
from taskgen.events.sql import read_runs
from taskgen.loading.taskset_files import read_taskset
from taskgen.simulation import run_boards

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_your_own_handler_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_the_same_from_python_stores_every_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = [code for code in PYTHON if "distributor.start" in code]
    monkeypatch.chdir(tmp_path)
    with run_boards(4, speed=100.0) as boards:
        exec(shown.replace('"172.25.1.2"', repr(boards)).replace("range(128)", "range(12)"), {})
    assert {run.variant for run in read_runs(tmp_path / "events.db")} == set(range(12))


def test_the_json_task_set_has_as_many_variants_as_it_says(tmp_path: Path) -> None:
    (shown,) = re.findall(r"`(\{\"taskset\".*?\})` is six", README)
    (tmp_path / "a.json").write_text(json.dumps(json.loads(shown)))
    assert read_taskset(str(tmp_path / "a.json")).count_variants() == 6


def test_files_that_the_readme_names_are_there() -> None:
    named = set(re.findall(r"\]\(([^)#]+)\)", README)) | set(re.findall(r"examples/\w+\.\w+", README))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()
