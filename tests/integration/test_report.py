"""Reports keep apart what differs, count what is unknown, and leave nothing out silently."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from matplotlib.patches import Rectangle

from taskgen.results.dataset import open_dataset
from taskgen.results.figures import figures
from taskgen.results.statistics import TaskStatistics, most_missed, task_statistics
from taskgen.run import Outcome
from taskgen.task import Task
from tests.support.command_line import run_taskgen
from tests.support.stored_runs import PERIOD_MS, campaign, jobs, store_run

FIRST, SECOND = campaign("first"), campaign("second")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def rows(store: Path) -> list[TaskStatistics]:
    with open_dataset(str(store)) as dataset:
        return task_statistics(dataset)


def report(store: Path, *arguments: str, columns: str = "200") -> str:
    ended = run_taskgen("report", store.name, *arguments, cwd=store.parent, COLUMNS=columns)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_two_campaigns_have_rows_of_their_own(store: Path) -> None:
    store_run(store, FIRST, jobs([20, 20]))
    store_run(store, SECOND, jobs([50]))
    assert [(one.name, one.jobs, one.misses) for one in rows(store)] == [
        ("first: variant 0", 2, 0),
        ("second: variant 0", 1, 1),
    ]
    printed = report(store, "--csv", "t.csv", "--latex", "t.tex")
    assert "second: variant 0" in printed
    found = list(csv.DictReader((store.parent / "t.csv").read_text().splitlines()))
    assert [(one["campaign"], one["misses"]) for one in found] == [("first", "0"), ("second", "1")]
    assert "second: variant 0" in (store.parent / "t.tex").read_text()


def test_campaigns_of_the_same_name_or_none_are_told_apart_by_their_ids(store: Path) -> None:
    campaigns = [campaign("same"), campaign("same"), campaign("")]
    for facts in campaigns:
        store_run(store, facts, jobs([20]))
    ids = [facts.campaign_id[-8:] for facts in campaigns]
    assert [one.name for one in rows(store)] == [
        f"same {ids[0]}: variant 0",
        f"same {ids[1]}: variant 0",
        f"{ids[2]}: variant 0",
    ]


def test_a_file_that_was_edited_between_two_runs_has_rows_of_its_own(store: Path) -> None:
    for pkg, deadline in (("hey", 40), ("tumatmul", 20)):
        store_run(store, FIRST, jobs([30]), [Task(pkg=pkg, period=PERIOD_MS, deadline=deadline)])
    assert [(one.name, one.pkg, one.misses) for one in rows(store)] == [
        ("variant 0 (task0.pkg=hey task0.deadline=40)", "hey", 0),
        ("variant 0 (task0.pkg=tumatmul task0.deadline=20)", "tumatmul", 1),
    ]
    report(store, "--figures", "figures", "--html", "r.html")
    names = {path.name for path in (store.parent / "figures").glob("response-*.svg")}
    assert names == {"response-task0-hey.svg", "response-task0-tumatmul.svg"}
    page = (store.parent / "r.html").read_text()
    assert "Response times of task 0 (hey)" in page
    assert "Response times of task 0 (tumatmul)" in page


def test_variants_of_several_files_have_rows_of_their_own(store: Path) -> None:
    for source in ("x/a.json", "y/a.json", "y/b.json"):
        store_run(store, FIRST, jobs([20]), source=source)
    assert [one.name for one in rows(store)] == [
        "x/a.json: variant 0",
        "y/a.json: variant 0",
        "b.json: variant 0",
    ]


def test_task_sets_that_differ_in_much_are_numbered(store: Path) -> None:
    one = Task(pkg="hey", period=PERIOD_MS)
    store_run(store, FIRST, jobs([30]), [one])
    store_run(store, FIRST, jobs([30]), [one, Task(pkg="pi", period=PERIOD_MS)])
    assert [found.name.partition(":")[0] for found in rows(store)] == [
        "variant 0 (task-set 1 of 2)",
        "variant 0 (task-set 2 of 2",
        "variant 0 (task-set 2 of 2",
    ]


def test_repetitions_of_one_variant_are_pooled(store: Path) -> None:
    for _ in range(3):
        store_run(store, FIRST, jobs([20, 50]))
    (one,) = rows(store)
    assert (one.name, one.runs, one.jobs, one.misses) == ("variant 0", 3, 6, 3)


def test_a_variant_without_any_job_has_a_row(store: Path) -> None:
    store_run(store, FIRST, [], parameters={"task0.priority": 1}, outcome=Outcome.TIMED_OUT)
    (one,) = rows(store)
    assert (one.name, one.runs, one.jobs, one.miss_ratio) == ("task0.priority=1", 1, 0, None)
    assert "task0.priority=1" in report(store, "--html", "r.html", "--figures", "f", "--latex", "t.tex")


def test_values_of_parameters_can_be_nested(store: Path) -> None:
    values: list[object] = [{"arg1": 1}, {"arg1": 2}, [1, 2]]
    for value in values:
        store_run(store, FIRST, jobs([20]), parameters={"task0.config": value})
    report(store, "--html", "r.html")
    assert "Miss ratio over task0.config" in (store.parent / "r.html").read_text()


def test_jobs_with_unknown_misses_are_neither_hits_nor_misses(store: Path) -> None:
    store_run(store, FIRST, [*jobs([50]), ("EXIT", 0, 5_110), ("START", 0, 5_200)])
    (one,) = rows(store)
    assert (one.jobs, one.misses, one.judged, one.unknown, one.miss_ratio) == (3, 1, 1, 2, 1.0)
    printed = report(store, "--csv", "t.csv", "--latex", "t.tex", "--html", "r.html")
    assert "2 jobs with unknown misses: no release or no end was seen" in printed
    (row,) = csv.DictReader((store.parent / "t.csv").read_text().splitlines())
    assert (row["miss_ratio"], row["unknown"]) == ("1", "2")
    assert "unknown" in (store.parent / "t.tex").read_text()
    assert "For 2 jobs it is unknown" in (store.parent / "r.html").read_text()


def test_there_is_nothing_of_unknown_jobs_if_there_are_none(store: Path) -> None:
    store_run(store, FIRST, jobs([20, 30]))
    assert "unknown" not in report(store, "--latex", "t.tex", "--html", "r.html")
    assert "unknown" not in (store.parent / "t.tex").read_text()
    assert "unknown" not in (store.parent / "r.html").read_text()


def test_whole_numbers_are_written_as_such(store: Path) -> None:
    store_run(store, FIRST, jobs([20, 22]), parameters={"task0.priority": 1})
    store_run(store, FIRST, jobs([20, 23]), parameters={"task0.priority": 2})
    report(store, "--csv", "t.csv")
    found = list(csv.DictReader((store.parent / "t.csv").read_text().splitlines()))
    assert [(one["median_ms"], one["mean_ms"], one["miss_ratio"]) for one in found] == [
        ("21", "21", "0"),
        ("21.5", "21.5", "0"),
    ]


def test_a_parameter_that_does_not_vary_in_the_selection_has_no_figure(store: Path) -> None:
    for priority in (1, 2):
        store_run(store, FIRST, jobs([20]), parameters={"task0.priority": priority})
    report(store, "--where", "task0.priority=1", "--figures", "one")
    report(store, "--figures", "all")
    assert not list((store.parent / "one").glob("misses-*"))
    assert len(list((store.parent / "all").glob("misses-*.svg"))) == 1


def test_a_parameter_has_a_figure_for_each_campaign(store: Path) -> None:
    for facts in (FIRST, SECOND):
        for priority in (1, 2):
            store_run(store, facts, jobs([20]), parameters={"task0.priority": priority})
    report(store, "--html", "r.html")
    page = (store.parent / "r.html").read_text()
    assert "Miss ratio over task0.priority: first" in page
    assert "Miss ratio over task0.priority: second" in page


def test_the_run_with_most_misses_is_drawn_however_late_it_came(store: Path) -> None:
    for _ in range(3):
        store_run(store, FIRST, jobs([20]))
    worst = store_run(store, FIRST, jobs([50, 50]))
    unfinished = store_run(store, FIRST, jobs([50, 50, 50]), is_complete=False)
    with open_dataset(str(store)) as dataset:
        assert [one.run.run_id for one in most_missed(dataset, 2)] == [unfinished, worst]
    report(store, "--html", "r.html")
    assert f"run {unfinished[-8:]} on 127.0.10.1:3001, incomplete" in (store.parent / "r.html").read_text()


def test_a_schedule_across_the_end_of_the_clock_is_as_long_as_the_run(store: Path) -> None:
    wrapped = [(kind, task, time % 2**32) for kind, task, time in jobs([20, 20], first_ms=2**32 - 50)]
    store_run(store, FIRST, wrapped)
    with open_dataset(str(store)) as dataset:
        (drawn,) = [found for _, title, found in figures(dataset, [], dataset.runs) if "Schedule" in title]
    bars = [patch for patch in drawn.axes[0].patches if isinstance(patch, Rectangle)]
    assert [round(bar.get_x()) for bar in bars] == [0, 100]


def test_a_schedule_needs_something_to_be_drawn_into(store: Path) -> None:
    run_id = store_run(store, FIRST, jobs([20]))
    ended = run_taskgen("report", store.name, "--schedule", run_id, cwd=store.parent)
    assert (ended.returncode, ended.stderr.count("\n"), "--html FILE" in ended.stderr) == (2, 1, True)


def test_a_narrow_table_has_a_line_for_each_variant_and_each_task(store: Path) -> None:
    parameters = {f"task0.config.a_rather_long_name{number}": number for number in range(3)}
    for value in (1, 2):
        store_run(store, FIRST, jobs([20, 50]), parameters=parameters | {"task0.priority": value})
    lines = report(store, columns="80").splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.split()[:1] == ["task"]]
    table = " ".join(lines[head:]).replace("  ", " ")
    assert "task0.priority=1" in table
    assert [line.split() for line in lines if line.startswith("  0 hey")] == [
        ["0", "hey", "2", "1", "35", "50", "50"]
    ] * 2
