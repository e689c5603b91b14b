"""The document of the users' wishes is kept: its snippets run as they stand, against simulated boards."""

import importlib
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from taskgen.boards.profile import read_profile
from taskgen.distributor import Distributor
from taskgen.event import AbstractEventHandler, DefaultEventHandler
from taskgen.events.sql import SqliteReader
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet

_DOCUMENT = (Path(__file__).parents[1] / "seed" / "events.md").read_text(encoding="utf-8")
_SNIPPETS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", _DOCUMENT, re.MULTILINE | re.DOTALL)
_CLASSES: list[str] = re.findall(r"^\| ([a-z.]+\.[A-Z]\w+) \|", _DOCUMENT, re.MULTILINE)


def snippet(holding: str) -> str:
    (found,) = [text for _, text in _SNIPPETS if holding in text]
    return found


@pytest.fixture
def board() -> Iterator[str]:
    with run_boards(speed=200) as (address,):
        yield address


def taskset() -> TaskSet:
    return TaskSet([Task(pkg="hey", period=20, numberofjobs=3), Task(pkg="pi", period=100, priority=[1, 2])])


def test_the_distributor_snippet_stores_what_a_taskset_does(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the snippet writes events.db where it is started
    names: dict[str, Any] = {}
    exec(snippet("SqliteHandler(").replace("172.25.1.2", board), names)
    distributor: Distributor = names["distributor"]
    with closing(names["event_handler"]), distributor:
        distributor.start(taskset())
    with closing(SqliteReader(tmp_path / "events.db")) as reader:
        runs = list(reader.runs())
        assert [(run.variant, run.outcome) for run in runs] == [
            (0, Outcome.FINISHED),
            (1, Outcome.FINISHED),
        ]
        for run in runs:
            types = [(row.task_id, row.type) for row in reader.events(run.run_id)]
            assert len(types) == run.events
            assert types.count((0, "EXIT")) == 3
            assert types.count((1, "EXIT")) == 1


def test_the_handler_snippet_pasted_unchanged_follows_a_run_to_its_end(board: str) -> None:
    names: dict[str, Any] = {}
    exec(snippet("class YourHandler"), names)
    seen: list[TaskSet] = []

    class StatusListener(DefaultEventHandler):
        def __taskset_finish__(self, taskset: TaskSet) -> None:
            seen.append(taskset)

    with Distributor(board, event_handler=[names["YourHandler"](), StatusListener()]) as distributor:
        campaign = distributor.start(taskset())
        assert distributor.handler_failures == {}
    assert campaign.outcomes == {Outcome.FINISHED: 2}
    assert [[job.exit_type for job in task.jobs] for task in seen[0]] == [["EXIT"] * 3, ["EXIT"]]


def test_the_xml_snippet_becomes_the_dictionary_snippet() -> None:
    profile, rejected = read_profile(snippet("<profile>").encode())
    assert profile == eval(snippet('"@type": "START"'))
    assert rejected == []


@pytest.mark.parametrize("name", _CLASSES)
def test_the_classes_of_the_table_are_where_it_says(name: str) -> None:
    module, _, classname = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(f"taskgen.{module}"), classname), AbstractEventHandler)


def test_the_table_was_found() -> None:
    assert len(_CLASSES) == 4


@pytest.mark.parametrize(("kind", "classname"), [("sql", "SqliteHandler"), ("csv", "CsvHandler")])
def test_both_spellings_of_a_store_mean_one_class(kind: str, classname: str) -> None:
    short, long = (importlib.import_module(f"taskgen.{path}{kind}") for path in ("", "events."))
    assert getattr(short, classname) is getattr(long, classname)
    assert issubclass(getattr(short, classname), DefaultEventHandler)
