"""What is no event is kept, also where no handler stores anything."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from taskgen.distributor import Distributor
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet


def test_a_garbage_frame_is_written_to_a_file_if_no_handler_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    taskset = TaskSet([Task(pkg="hey", period=10, numberofjobs=3)])
    with run_boards(1, speed=100, faults=["garbage-frame"]) as boards, Distributor(boards) as distributor:
        campaign = distributor.start(taskset)
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    (line,) = Path("taskgen-quarantine.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["board"] == boards[0]
    assert "not XML" in record["reason"]
    assert base64.b64decode(record["data_base64"])
