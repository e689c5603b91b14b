"""Exports, reports and frames of odd values; nothing that is exported destroys a store."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from taskgen.errors import SettingsError
from taskgen.events.csv import CsvHandler
from taskgen.events.sql import SqliteHandler
from taskgen.results import load
from taskgen.results.dataset import open_dataset
from taskgen.results.export import export
from taskgen.results.output import new_output
from taskgen.run import CampaignFacts
from tests.support.profiles import event
from tests.support.store_damage import run_command
from tests.support.store_events import end_run, give, taskset

CAMPAIGN = CampaignFacts(name="odd")


def store_run(handler: SqliteHandler | CsvHandler, *, at_ms: int = 0, **parameters: object) -> None:
    """A run of one job; `parameters` are of its variant, but for `score`, which a handler records."""
    score = parameters.pop("score", None)
    tasks = taskset(campaign=CAMPAIGN, parameters=parameters)
    assert tasks.run is not None
    handler.__taskset_start__(tasks)
    if score is not None:
        tasks.run.record(score=score)
        handler.take_results(tasks)
    give(handler, tasks, 0, event("START", 0, at_ms), event("EXIT", 0, at_ms + 7))
    end_run(handler, tasks, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the same run in `dl.db` and `dl.csv`, and a bundle."""
    with SqliteHandler(tmp_path / "dl.db") as sqlite, CsvHandler(tmp_path / "dl.csv") as csv:
        store_run(sqlite)
        store_run(csv)
    ended = run_command("bundle", tmp_path / "dl.db", "-o", tmp_path / "b.zip")
    assert ended.code == 0, ended
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "export {}/dl.db -o {}/dl.csv",
        "export {}/dl.csv -o {}/dl.csv",
        "export {}/dl.csv --what runs -o {}/dl.runs.csv",
        "export {}/dl.csv --what tasks -o {}/dl.tasks.csv",
        "export {}/dl.csv --what campaigns -o {}/dl.campaigns.csv",
        "export {}/dl.csv --what campaigns -o {}/dl.results.csv",  # which is not there yet
        "export {}/dl.csv -o {}/dl.quarantine.csv",
        "report {}/dl.db --csv {}/dl.tasks.csv",
        "report {}/dl.db --html {}/dl.db",
        "report {}/dl.db --latex {}/dl.db",
        "report {}/dl.db --latex {}/b.zip",
        "report {}/b.zip --html {}/b.zip",
        "report {}/dl.db --csv {}/link.csv",
    ],
)
def test_nothing_is_written_over_a_store_or_a_bundle(folder: Path, command: str) -> None:
    (folder / "link.csv").symlink_to("dl.csv")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ended = run_command(*(part.format(folder) for part in command.split()))
    assert (ended.code, ended.stderr.count("\n"), ended.stdout) == (2, 1, ""), ended
    assert "would be lost; choose another path" in ended.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_figures_are_not_written_over_a_store_either(folder: Path) -> None:
    store = folder / "figures" / "response-task0.svg"
    store.parent.mkdir()
    SqliteHandler(store).close()
    ended = run_command("report", folder / "dl.db", "--figures", store.parent)
    assert (ended.code, ended.stderr.count("\n")) == (2, 1), ended
    assert store.read_bytes().startswith(b"SQLite format 3")


def test_earlier_outputs_are_replaced(folder: Path) -> None:
    for what in ("jobs", "runs", "tasks", "variants", "campaigns"):
        for _ in range(2):
            ended = run_command("export", folder / "dl.csv", "--what", what, "-o", folder / f"{what}.csv")
            assert ended.code == 0, ended
    for _ in range(2):
        outputs = ("--csv", folder / "t.csv", "--latex", folder / "t.tex", "--html", folder / "r.html")
        assert run_command("report", folder / "dl.db", *outputs).code == 0
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def _fail_to_write(path: Path) -> None:
    with new_output(path) as part:
        part.write_text("half")
        Path("/dev/full").write_text("x")


def test_a_failed_export_leaves_the_former_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("before")
    with pytest.raises(SettingsError, match=r"cannot write .*: No space left"):
        _fail_to_write(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("jobs.csv", "before")]


def test_what_is_no_file_is_written_directly(folder: Path) -> None:
    ended = run_command("report", folder / "dl.db", "--csv", "/dev/null")
    assert (ended.code, Path("/dev/null").is_char_device()) == (0, True)


def test_values_of_several_types_become_text_in_a_parquet_file(tmp_path: Path) -> None:
    with SqliteHandler(tmp_path / "odd.db") as handler:
        store_run(handler, arg1="low", flag=True, ratio=1, score=1, many=[1, {"a": 2}])
        store_run(handler, arg1=5, flag=False, ratio=0.5, score="high", text="\ud800")
        store_run(handler, arg1=True, ratio=2**60 + 1, score=None)
    with open_dataset(str(tmp_path / "odd.db")) as dataset:
        for what in ("variants", "runs"):
            assert export(dataset, what, tmp_path / f"{what}.parquet") == 3
            assert export(dataset, what, tmp_path / f"{what}.csv") == 3
        assert export(dataset, "jobs", tmp_path / "odd.pftrace") == 3
    table: dict[str, list[Any]] = pq.read_table(tmp_path / "variants.parquet").to_pydict()
    assert table["arg1"] == ["low", "5", "true"]
    assert table["flag"] == [True, False, None]
    assert table["ratio"] == ["1", "0.5", str(2**60 + 1)]
    assert table["many"] == ['[1, {"a": 2}]', None, None]
    assert table["text"] == [None, "\\ud800", None]
    assert pq.read_table(tmp_path / "runs.parquet")["result.score"].to_pylist() == ["1", "high", None]


def test_types_are_those_of_all_rows_of_a_parquet_file(tmp_path: Path) -> None:
    with SqliteHandler(tmp_path / "many.db") as handler:
        store_run(handler, score=1)
    with closing(sqlite3.connect(tmp_path / "many.db")) as connection:
        (campaign_id,) = connection.execute("SELECT campaign_id FROM campaigns").fetchone()
        rows = [(f"t{number}", campaign_id, "", number, '{"a": 1}') for number in range(60_000)]
        rows[-1] = (*rows[-1][:4], '{"a": "high"}')
        connection.executemany("INSERT INTO variants VALUES (?, ?, ?, ?, ?)", rows)
        runs = [(f"r{number}", f"t{number}", "b", 1, number, "2024") for number in range(60_000)]
        names = "run_id, taskset_id, board, attempt, variant, started_at"
        connection.executemany(f"INSERT INTO runs ({names}) VALUES (?, ?, ?, ?, ?, ?)", runs)
        connection.commit()
    with open_dataset(str(tmp_path / "many.db")) as dataset:
        assert export(dataset, "variants", tmp_path / "v.parquet") == 60_001
    column = pq.read_table(tmp_path / "v.parquet")["a"].to_pylist()
    assert sorted(set(column) - {None}) == ["1", "high"]


@pytest.mark.parametrize("clock_ms", [2**53 + 1, 2**60 + 1, 2**63 - 3, 2**63 + 1, 2**64 - 8])
def test_a_large_clock_stays_exact_in_frames(tmp_path: Path, clock_ms: int) -> None:
    with SqliteHandler(tmp_path / "large.db") as handler:
        store_run(handler, at_ms=clock_ms, score=clock_ms)
        store_run(handler)
        tasks = taskset()
        handler.__taskset_start__(tasks)
        give(handler, tasks, 0, event("EXIT", 0, 5))  # whose release is unknown
        end_run(handler, tasks, 1)
    frames = load(str(tmp_path / "large.db"))
    assert sorted(map(int, frames.jobs.release_ms.dropna())) == [0, clock_ms]
    assert sorted(map(int, frames.jobs.end_ms)) == [5, 7, clock_ms + 7]
    assert list(map(int, frames.jobs.response_ms.dropna())) == [7, 7]
    assert list(map(int, frames.runs["result.score"].dropna())) == [clock_ms]


def test_a_store_without_runs_gives_frames_that_can_be_merged(tmp_path: Path) -> None:
    SqliteHandler(tmp_path / "empty.db").close()
    frames = load(str(tmp_path / "empty.db"))
    joined = frames.jobs.merge(frames.runs, on="run_id").merge(frames.variants, on="taskset_id")
    assert len(joined.merge(frames.tasks, on=["run_id", "task_id"])) == 0
    assert len(frames.runs.merge(frames.campaigns, on="campaign_id")) == 0
    for what in ("jobs", "runs", "tasks", "variants", "campaigns"):
        for kind in ("csv", "parquet"):
            output = tmp_path / f"{what}.{kind}"
            assert run_command("export", tmp_path / "empty.db", "--what", what, "-o", output).code == 0
        columns = list(getattr(frames, what).columns)
        assert list(pd.read_csv(tmp_path / f"{what}.csv").columns) == columns
        assert pq.read_table(tmp_path / f"{what}.parquet").column_names == columns


def test_a_trace_has_parameters_of_every_type(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "yes": True,
        "no": False,
        "many": [1, 2],
        "some": {"a": None},
        "ratio": 0.5,
        "large": 2**70,
    }
    with SqliteHandler(tmp_path / "odd.db") as handler:
        store_run(handler, **values)
    assert run_command("export", tmp_path / "odd.db", "-o", tmp_path / "odd.pftrace").code == 0
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace  # noqa: PLC0415 - has no types

    trace = Trace.FromString((tmp_path / "odd.pftrace").read_bytes())
    names = {
        one.iid: one.name for packet in trace.packet for one in packet.interned_data.debug_annotation_names
    }
    found = {
        names[one.name_iid]: getattr(one, one.WhichOneof("value"))
        for packet in trace.packet
        for one in packet.track_event.debug_annotations
    }
    assert (found["yes"], found["no"]) == (True, False)
    assert isinstance(found["yes"], bool)
    assert (json.loads(found["many"]), json.loads(found["some"])) == ([1, 2], {"a": None})
    assert math.isclose(found["ratio"], 0.5)
    assert found["large"] == str(2**70)
