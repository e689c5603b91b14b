"""What reports, exports, DataFrames and comparisons say is what the board's truth file says."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections import defaultdict
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq
import pytest

from taskgen.distributor import Distributor
from taskgen.errors import SettingsError
from taskgen.events.csv_parts import CsvPartsHandler
from taskgen.events.sql import SqliteHandler
from taskgen.events.stores import open_handler
from taskgen.results import load
from taskgen.results.compare import divergences
from taskgen.results.dataset import open_dataset
from taskgen.results.statistics import task_statistics
from taskgen.run import CampaignFacts, Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.command_line import run_taskgen
from tests.support.profiles import event
from tests.support.store_damage import run_command
from tests.support.store_events import end_run, give, taskset

EDF = {
    "taskset": {
        "periodictask": [
            {
                "pkg": "tumatmul",
                "priority": 128,
                "deadline": 40,
                "period": 100,
                "numberofjobs": 10,
                "config": {"arg1": [10, 20, 30, 40, 50]},
            },
            {
                "pkg": "cond_mod",
                "priority": 128,
                "deadline": 60,
                "period": 100,
                "numberofjobs": 10,
                "config": {"arg1": 30},
            },
            {"pkg": "hey", "priority": 10, "period": 50, "offset": 5, "numberofjobs": 20},
        ]
    }
}
DEADLINES = {"0": 40, "1": 60, "2": 50}


class Campaign(NamedTuple):
    """A campaign of five variants, stored in SQLite, and what its boards really did."""

    folder: Path
    summary: dict[str, Any]
    truth: list[dict[str, Any]]

    @property
    def store(self) -> str:
        return str(self.folder / "events.db")


@pytest.fixture(scope="module")
def edf(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    folder = tmp_path_factory.mktemp("edf")
    (folder / "edf.json").write_text(json.dumps(EDF))
    truth = folder / "truth.jsonl"
    with run_boards(2, speed=4, truth=truth) as addresses:
        options = [part for address in addresses for part in ("--board", address)]
        named = ("--name", "edf", "--note", "five variants")
        ended = run_taskgen("run", "edf.json", *options, *named, "--json", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    return Campaign(folder, json.loads(ended.stdout), lines)


def true_misses(truth: list[dict[str, Any]]) -> tuple[int, int]:
    """Jobs and misses, computed from the truth file alone."""
    released: dict[tuple[str, int, str], int] = {}
    jobs = misses = 0
    for line in truth:
        key = line["board"], line["run"], line["@task-id"]
        if line["@type"] == "START":
            released[key] = int(line["@time-stamp"])
        elif line["@type"].startswith("EXIT"):
            jobs += 1
            took = int(line["@time-stamp"]) - released.pop(key)
            misses += line["@type"] == "EXIT_PERIOD" or took > DEADLINES[line["@task-id"]]
    return jobs, misses


def test_every_way_to_ask_gives_the_misses_of_the_truth_file(edf: Campaign) -> None:
    jobs, misses = true_misses(edf.truth)
    assert (jobs, misses > 40) == (200, True)
    assert (edf.summary["jobs"], edf.summary["misses"]) == (jobs, misses)
    with closing(sqlite3.connect(edf.store)) as connection:
        assert connection.execute("SELECT count(*), sum(is_miss) FROM jobs").fetchone() == (jobs, misses)
        assert connection.execute("SELECT sum(misses) FROM task_metrics").fetchone() == (misses,)
        assert connection.execute("SELECT jobs, misses FROM campaign_metrics").fetchone() == (jobs, misses)
    frames = load(edf.store)
    assert (len(frames.jobs), int(frames.jobs.is_miss.sum())) == (jobs, misses)
    with open_dataset(edf.store) as dataset:
        statistics = task_statistics(dataset)
    assert sum(one.misses for one in statistics) == misses
    for name in ("jobs.csv", "jobs.parquet"):
        assert run_taskgen("export", edf.store, "-o", name, cwd=edf.folder).returncode == 0
    assert int(pd.read_csv(edf.folder / "jobs.csv").is_miss.sum()) == misses
    assert sum(pq.read_table(edf.folder / "jobs.parquet")["is_miss"].to_pylist()) == misses


def test_the_report_is_a_table_a_page_figures_latex_and_csv(edf: Campaign) -> None:
    files = ("--html", "r.html", "--figures", "figures", "--latex", "t.tex", "--csv", "t.csv")
    ended = run_taskgen("report", "events.db", "--campaign", "edf", *files, cwd=edf.folder)
    assert ended.returncode == 0, ended.stderr
    _, misses = true_misses(edf.truth)
    assert "task0.config.arg1=50" in ended.stdout
    rows = list(csv.DictReader(io.StringIO((edf.folder / "t.csv").read_text())))
    assert sum(int(row["misses"]) for row in rows) == misses
    latex = (edf.folder / "t.tex").read_text()
    assert latex.startswith(r"\begin{tabular}")
    assert r"1 cond\_mod" in latex
    page = (edf.folder / "r.html").read_text()
    assert f"<b>{misses}</b>" in page
    assert page.count("<svg") == 3 + 1 + 3  # tasks, the parameter, schedules
    assert not [
        scheme for scheme in ('src="', "http-equiv", "@import", "<script", 'href="http') if scheme in page
    ]
    names = {path.name for path in (edf.folder / "figures").iterdir()}
    assert {"response-task0.pdf", "response-task0.svg", "misses-task0.config.arg1.pdf"} <= names


def test_a_condition_selects_runs_and_a_wrong_campaign_lists_those_that_there_are(edf: Campaign) -> None:
    with open_dataset(edf.store, where=["task0.config.arg1=30"]) as dataset:
        assert [one.name for one in dataset.runs] == ["task0.config.arg1=30"]
    with (
        pytest.raises(SettingsError, match=r"no campaign 'nope'; its campaigns: edf \("),
        open_dataset(edf.store, "nope"),
    ):
        pass
    with pytest.raises(SettingsError, match="write NAME=VALUE"), open_dataset(edf.store, where=["arg1"]):
        pass
    ended = run_taskgen("report", "events.db", "--campaign", "nope", cwd=edf.folder)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def store_odd_values(path: Path) -> None:
    with SqliteHandler(path) as handler:
        for number, value in enumerate((True, False, " spaced ", "x", None)):
            tasks = taskset(
                campaign=CampaignFacts("c", "odd\x1b", started_at="2024"),
                parameters={"p": value, "n": number},
            )
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, 0), event("EXIT", 0, 5))
            end_run(handler, tasks, 2)


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("p=True", 0),
        ("p=true", 0),
        ("p=false", 1),
        ("p= spaced ", 2),
        ("p=x", 3),
        ('p="x"', 3),
        ("p=null", 4),
        ("n=4", 4),
    ],
)
def test_a_condition_is_written_as_a_value_is_shown_or_as_json(
    tmp_path: Path, where: str, number: int
) -> None:
    store_odd_values(tmp_path / "odd.db")
    assert list(load(str(tmp_path / "odd.db"), where=[where]).variants.n) == [number]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (["foo=1"], "no run has a 'foo'; there are outcome, board, variant, attempt, source, p, n"),
        (["outcome=finish"], "no run has outcome='finish'; there are finished"),
        (["p=spaced"], "no run has p='spaced'; there are True, False, ' spaced ', x, None"),
        (["n=9"], "there are 0, 1, 2, 3, 4"),
        (["p=x", "n=0"], "no run has p='x' and n='0' at the same time"),
    ],
)
def test_a_condition_that_no_run_meets_lists_what_there_is(
    tmp_path: Path, where: list[str], said: str
) -> None:
    store = str(tmp_path / "odd.db")
    store_odd_values(Path(store))
    options = [part for one in where for part in ("--where", one)]
    for command in (
        ("report", store),
        ("compare", store, store),
        ("export", store, "-o", str(tmp_path / "j.csv")),
    ):
        ended = run_command(*command, *options)
        assert (ended.code, ended.stderr.count("\n"), ended.stdout) == (2, 1, "")
        assert said in ended.stderr
    with pytest.raises(SettingsError, match="no run has"):
        load(store, where=where)
    assert not (tmp_path / "j.csv").exists()


def test_at_most_ten_values_are_listed_and_names_are_printable(tmp_path: Path) -> None:
    with SqliteHandler(tmp_path / "many.db") as handler:
        for number in range(13):
            tasks = taskset(
                parameters={"n": number}, campaign=CampaignFacts("c", "red\x1b[31m", started_at="2024")
            )
            handler.__taskset_start__(tasks)
    ended = run_command("report", tmp_path / "many.db", "--where", "n=99")
    assert ended.stderr.endswith("there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more\n")
    ended = run_command("report", tmp_path / "many.db", "--campaign", "nope")
    assert "its campaigns: red\\x1b[31m (c)" in ended.stderr


def test_a_folder_that_no_sink_has_written_is_said_to_be_one(tmp_path: Path) -> None:
    ended = run_command("report", tmp_path)
    assert (ended.code, ended.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path}: is a folder without the ledger.db of a csv sink; give " in ended.stderr


def test_an_incomplete_run_is_marked_and_in_no_statistics(edf: Campaign, tmp_path: Path) -> None:
    store = tmp_path / "damaged.db"
    store.write_bytes(Path(edf.store).read_bytes())
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        (run_id,) = connection.execute("SELECT min(run_id) FROM runs").fetchone()
        for table in ("jobs", "run_metrics"):
            connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))
        connection.execute("DELETE FROM events WHERE run_id = ? AND seq = 5", (run_id,))
    frames = load(str(store))
    assert len(frames.jobs) == 160
    assert list(frames.runs.is_complete) == [False, True, True, True, True]
    ended = run_taskgen("report", str(store), cwd=tmp_path)
    assert "1 run left out: incomplete, or a fault of the lab" in ended.stdout
    ended = run_taskgen("export", str(store), "-o", "jobs.csv", cwd=tmp_path)
    assert "1 run left out: incomplete, or a fault of the lab" in ended.stderr


def store_retried_variant(path: Path, fault: Outcome) -> None:
    """A variant with two complete runs: one that a fault of the lab ended, and one that is a result."""
    campaign = CampaignFacts(name="retried")
    with SqliteHandler(path) as handler:
        for attempt, (outcome, jobs) in enumerate([(fault, 3), (Outcome.FINISHED, 5)], 1):
            tasks = taskset(campaign=campaign, taskset_id="the same", attempt=attempt)
            handler.__taskset_start__(tasks)
            for number in range(jobs):
                start_ms = 100 * number
                give(
                    handler, tasks, 2 * number, event("START", 0, start_ms), event("EXIT", 0, start_ms + 150)
                )
            end_run(handler, tasks, 2 * jobs, outcome)


@pytest.mark.parametrize("fault", [Outcome.BOARD_LOST, Outcome.BOARD_ERROR, Outcome.DISTRIBUTOR_LOST])
def test_a_variant_that_was_tried_again_counts_once_everywhere(tmp_path: Path, fault: Outcome) -> None:
    store = tmp_path / "retried.db"
    store_retried_variant(store, fault)
    with closing(sqlite3.connect(store)) as connection:
        query = f"SELECT runs, {fault.value}, incomplete, jobs, misses FROM campaign_metrics"
        assert connection.execute(query).fetchone() == (2, 1, 0, 5, 5)
    frames = load(str(store))
    assert (len(frames.jobs), int(frames.jobs.is_miss.sum())) == (5, 5)
    assert list(zip(frames.runs.is_complete, frames.runs.is_counted, strict=True)) == [
        (True, False),
        (True, True),
    ]
    for name in ("jobs.csv", "jobs.parquet", "jobs.pftrace"):
        ended = run_taskgen("export", "retried.db", "-o", name, cwd=tmp_path)
        assert ended.stderr.splitlines() == [
            f"5 jobs written to {name}",
            "1 run left out: incomplete, or a fault of the lab",
        ]
    assert len(pd.read_csv(tmp_path / "jobs.csv")) == pq.read_table(tmp_path / "jobs.parquet").num_rows == 5


@pytest.mark.parametrize("outcome", [one for one in Outcome if one.is_result])
def test_every_result_counts(tmp_path: Path, outcome: Outcome) -> None:
    store_retried_variant(tmp_path / "events.db", outcome)
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        assert connection.execute("SELECT jobs FROM campaign_metrics").fetchone() == (8,)
    assert len(load(str(tmp_path / "events.db")).jobs) == 8


def test_frames_join_and_have_a_column_for_each_varied_parameter(edf: Campaign) -> None:
    frames = load(edf.store, campaign="edf")
    joined = frames.jobs.merge(frames.runs, on="run_id").merge(frames.variants, on="taskset_id")
    by_argument = joined.groupby("task0.config.arg1").is_miss.sum()
    assert list(by_argument.index) == [10, 20, 30, 40, 50]
    assert by_argument[10] == 0
    assert list(frames.campaigns.note) == ["five variants"]
    assert set(frames.tasks.pkg) == {"tumatmul", "cond_mod", "hey"}


def test_a_board_that_is_simulated_agrees_with_the_simulation_of_its_seed(edf: Campaign) -> None:
    """`cond_mod` varies with the seed, so only runs of the board with the same seed agree everywhere."""
    with open_dataset(edf.store) as dataset:
        agreeing: dict[str, set[int]] = defaultdict(set)
        for seed in range(4):
            for one in divergences(dataset, seed):
                if one.agreeing == one.jobs == 40 and not one.first:
                    agreeing[one.run.run.run_id].add(seed)
    assert len(agreeing) == 5


def test_a_comparison_of_a_campaign_with_itself_finds_no_difference(edf: Campaign) -> None:
    ended = run_taskgen("compare", "events.db", "events.db", cwd=edf.folder)
    assert ended.returncode == 0, ended.stderr
    assert "0 misses fewer, 0 misses more" in ended.stdout
    ended = run_taskgen("compare", "events.db", cwd=edf.folder)
    assert (ended.returncode, "--other-campaign" in ended.stderr) == (2, True)


def test_exports_of_other_kinds_have_their_rows(edf: Campaign) -> None:
    for what, count in (("runs", 5), ("tasks", 15), ("variants", 5), ("campaigns", 1)):
        ended = run_taskgen("export", "events.db", "--what", what, "-o", f"{what}.csv", cwd=edf.folder)
        assert ended.returncode == 0, ended.stderr
        assert len(pd.read_csv(edf.folder / f"{what}.csv")) == count
    ended = run_taskgen("export", "events.db", "-o", "jobs.xlsx", cwd=edf.folder)
    assert (ended.returncode, "ends with .csv, .parquet or .pftrace" in ended.stderr) == (2, True)


def test_csv_files_alone_give_the_same_results_as_sqlite(tmp_path: Path) -> None:
    taskset = {"pkg": "tumatmul", "period": 100, "numberofjobs": 4, "config": {"arg1": [20, 95, 120]}}
    (tmp_path / "a.json").write_text(json.dumps({"taskset": {"periodictask": [taskset]}}))
    with run_boards(2, speed=10) as addresses:
        options = [part for address in addresses for part in ("--board", address)]
        stores = ("--sqlite", "events.db", "--csv", "events.csv", "--name", "both")
        ended = run_taskgen("run", "a.json", *options, *stores, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    sidecars = {path.name for path in tmp_path.glob("events.*.csv")}
    assert sidecars == {f"events.{table}.csv" for table in ("campaigns", "variants", "tasks", "runs")}
    ours, theirs = load(str(tmp_path / "events.csv"), "both"), load(str(tmp_path / "events.db"), "both")
    for name in ("jobs", "runs", "tasks", "variants", "campaigns"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_dtype=False)
    assert len(ours.jobs) == 12
    ended = run_taskgen("report", "events.csv", cwd=tmp_path)
    assert "3 runs in the statistics" in ended.stdout


@pytest.mark.servers
@pytest.mark.parametrize("dialect", ["old", "new", "newest"])
def test_all_stores_have_the_same_metrics_of_boards_of_each_generation(
    dialect: str, tmp_path: Path, postgres_database: str
) -> None:
    tasks = TaskSet(
        [
            Task(pkg="tumatmul", period=100, numberofjobs=4, deadline=50, config={"arg1": [20, 70, 120]}),
            Task(pkg="hey", period=50, offset=5, numberofjobs=6, priority=1),
        ]
    )
    specs = [f"sqlite:{tmp_path}/events.db", f"csv:{tmp_path}/events.csv", postgres_database]
    with ExitStack() as stack:
        stores = [stack.enter_context(open_handler(spec)) for spec in specs]
        addresses = stack.enter_context(run_boards(2, speed=10, dialect=dialect))
        distributor = stack.enter_context(Distributor(addresses, event_handler=stores))
        distributor.start(tasks, name=dialect)
    jobs = [load(spec, dialect).jobs.sort_values(["run_id", "task_id", "job"]) for spec in specs]
    assert len(jobs[0]) == 3 * (4 + 6)
    assert jobs[0].is_miss.sum() > 4
    for other in jobs[1:]:
        pd.testing.assert_frame_equal(jobs[0].reset_index(drop=True), other.reset_index(drop=True))


def test_the_folder_of_a_csv_sink_gives_the_same_results_as_sqlite(tmp_path: Path) -> None:
    tasks = TaskSet([Task(pkg="tumatmul", period=100, numberofjobs=3, config={"arg1": [20, 120]})])
    with (
        run_boards(2, speed=10) as addresses,
        SqliteHandler(tmp_path / "events.db") as sqlite,
        CsvPartsHandler(tmp_path / "parts") as parts,
        Distributor(addresses, event_handler=[sqlite, parts]) as distributor,
    ):
        distributor.start(tasks, name="sink")
    ours, theirs = load(f"csv:{tmp_path}/parts", "sink"), load(str(tmp_path / "events.db"), "sink")
    assert len(ours.jobs) == 6
    pd.testing.assert_frame_equal(ours.jobs, theirs.jobs, check_dtype=False)
    pd.testing.assert_frame_equal(ours.variants, theirs.variants, check_dtype=False)
