"""Comparisons of campaigns, with one another and with the simulator, lose and mix nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgen.results.compare import Comparison, compared, divergences
from taskgen.results.dataset import open_dataset
from taskgen.results.statistics import task_statistics
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from tests.support.command_line import run_taskgen, write_taskset
from tests.support.stored_runs import PERIOD_MS, campaign, jobs, store_run

GOOD, BAD, THIRD = campaign("good"), campaign("bad"), campaign("third")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def comparison(store: Path, one: str = "good", other: str = "bad") -> Comparison:
    with open_dataset(str(store), one) as a, open_dataset(str(store), other) as b:
        return compared(task_statistics(a), task_statistics(b))


def compare(store: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `taskgen compare`."""
    ended = run_taskgen("compare", store.name, *arguments, cwd=store.parent)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_task_whose_jobs_are_all_killed_in_one_campaign_keeps_its_row_and_its_misses(store: Path) -> None:
    store_run(store, GOOD, jobs([20, 20, 20]))
    store_run(store, BAD, jobs([100, 100, 100], end="EXIT_PERIOD"))
    (difference,) = comparison(store).differences
    assert (difference.a.misses, difference.b.misses) == (0, 3)
    assert (difference.p_value, difference.effect) == (None, None)
    code, printed, _ = compare(store, "--campaign", "good", "--other-campaign", "bad")
    assert code == 0
    assert "0 of 3 → 3 of 3" in printed
    assert "0 misses fewer, 3 misses more" in printed


def test_a_store_with_one_other_campaign_is_compared_without_naming_it(store: Path) -> None:
    store_run(store, GOOD, jobs([20, 20, 20]))
    store_run(store, BAD, jobs([50, 50, 50]))
    code, printed, _ = compare(store, "--other-campaign", "bad")
    assert code == 0
    assert "0 of 3 → 3 of 3" in printed


def test_a_campaign_that_is_not_named_is_never_several(store: Path) -> None:
    for facts in (GOOD, BAD, THIRD):
        store_run(store, facts, jobs([20, 20, 20]))
    for arguments, option in (
        (("--other-campaign", "bad"), "--campaign"),
        (("--campaign", "bad", store.name), "--other-campaign"),
        ((store.name,), "--other-campaign"),
    ):
        code, _, complaint = compare(store, *arguments)
        assert (code, complaint.count("\n")) == (2, 1)
        assert f"choose one with {option}: " in complaint
        assert f"good ({GOOD.campaign_id})" in complaint
        assert f"third ({THIRD.campaign_id})" in complaint
    assert compare(store, "--campaign", "good", "--other-campaign", "bad")[0] == 0


def test_a_campaign_is_not_compared_with_itself_if_there_is_no_other(store: Path) -> None:
    store_run(store, BAD, jobs([20]))
    code, _, complaint = compare(store, "--other-campaign", "bad")
    assert (code, complaint.count("\n"), "no runs of another campaign than bad" in complaint) == (2, 1, True)


def test_misses_of_different_numbers_of_jobs_are_compared_as_ratios(store: Path) -> None:
    store_run(store, GOOD, jobs([20, 50]))
    for _ in range(2):
        store_run(store, BAD, jobs([20, 50]))
    _, printed, _ = compare(store, "--other-campaign", "bad")
    assert "1 of 2 → 2 of 4" in printed
    assert "misses: 1 of 2 jobs (50 %) → 2 of 4 jobs (50 %)" in printed
    assert "the numbers of jobs differ" in printed
    assert "misses more" not in printed


def test_a_parameter_that_was_changed_between_two_campaigns_is_named(store: Path) -> None:
    for facts, deadline in ((GOOD, 40), (BAD, 10)):
        task = Task(pkg="hey", period=PERIOD_MS, deadline=deadline, numberofjobs=1)
        store_run(store, facts, jobs([20]), [task])
    _, printed, _ = compare(store, "--other-campaign", "bad")
    assert "0 of 1 → 1 of 1" in printed
    assert "task0.deadline: 40 → 10" in printed


def test_task_sets_of_one_variant_are_compared_with_those_of_the_same_parameters(store: Path) -> None:
    for facts, responses_ms in ((GOOD, {40: [20], 60: [30]}), (BAD, {60: [30], 40: [20]})):
        for deadline, responses in responses_ms.items():
            store_run(store, facts, jobs(responses), [Task(pkg="hey", period=PERIOD_MS, deadline=deadline)])
    found = comparison(store)
    assert [(one.changed, one.effect) for one in found.differences] == [([], 0.0), ([], 0.0)]
    assert (found.only_a, found.only_b) == ([], [])


def test_files_of_the_same_name_in_different_folders_are_all_compared(store: Path) -> None:
    for facts, response_ms in ((GOOD, 20), (BAD, 50)):
        for source in ("x/a.json", "y/a.json"):
            store_run(store, facts, jobs([response_ms]), source=source)
    found = comparison(store)
    assert [(one.a.source, one.b.source) for one in found.differences] == [
        ("x/a.json", "x/a.json"),
        ("y/a.json", "y/a.json"),
    ]


def test_what_only_one_campaign_has_is_a_line_each_and_few_of_them(store: Path) -> None:
    store_run(store, GOOD, jobs([20]), parameters={"task0.priority": 0})
    for priority in range(13):
        store_run(store, BAD, [], parameters={"task0.priority": priority}, outcome=Outcome.TIMED_OUT)
    _, printed, _ = compare(store, "--other-campaign", "bad")
    lines = printed.splitlines()
    assert "  task0.priority=1, task 0 hey: 0 of 0 jobs missed" in lines
    assert lines[lines.index("only in the second campaign:") + 11 :] == ["  and 2 more"]
    assert "0 of 1 → 0 of 0" in printed


def test_jobs_with_unknown_misses_are_named(store: Path) -> None:
    store_run(store, GOOD, jobs([20, 20]))
    store_run(store, BAD, [*jobs([20]), ("EXIT", 0, 5_110), *jobs([50], first_ms=5_200)])
    _, printed, _ = compare(store, "--other-campaign", "bad")
    assert "0 of 2 → 1 of 2" in printed
    assert "unknown whether they are misses: 0 → 1 job" in printed


def simulated(store: Path) -> tuple[int, int, str, int, int]:
    with open_dataset(str(store)) as dataset:
        (one,) = divergences(dataset)
    return one.jobs, one.agreeing, one.first, one.only_run, one.only_simulated


def test_a_run_as_simulated_agrees_also_if_its_clock_begins_again(store: Path) -> None:
    store_run(store, GOOD, jobs([2, 2, 2], first_ms=2**32 - 150))
    assert simulated(store) == (3, 3, "", 0, 0)
    wrapped = [(kind, task, time % 2**32) for kind, task, time in jobs([2, 2, 2], first_ms=2**32 - 150)]
    other = store.with_name("other.db")
    store_run(other, GOOD, wrapped)
    assert simulated(other) == (3, 3, "", 0, 0)


@pytest.mark.parametrize(("shift_ms", "agreeing"), [(2, 3), (3, 2), (-2, 3), (-3, 2)])
def test_a_release_is_as_simulated_to_within_two_milliseconds(
    store: Path, shift_ms: int, agreeing: int
) -> None:
    late = jobs([2], first_ms=5_200 + shift_ms)
    store_run(store, GOOD, [*jobs([2, 2]), *late])
    assert simulated(store)[:2] == (3, agreeing)


def test_jobs_that_are_missing_or_too_many_are_no_agreement(store: Path) -> None:
    store_run(store, GOOD, jobs([2, 2]))
    assert simulated(store) == (3, 2, "job 2 of task 0: only simulated", 0, 1)
    other = store.with_name("other.db")
    store_run(other, GOOD, jobs([2, 2, 2, 2]))
    assert simulated(other) == (4, 3, "job 3 of task 0: not simulated", 1, 0)
    _, printed, _ = compare(other, "--with-simulator")
    assert "3 of 4 jobs as simulated" in printed
    assert "1 only in the runs, 0 only simulated" in printed


def test_a_run_that_was_stopped_need_not_have_the_jobs_of_later(store: Path) -> None:
    cut_off = [("START", 0, 5_100), ("EXIT_EXTERNAL", 0, 5_101)]
    store_run(store, GOOD, [*jobs([2]), *cut_off], outcome=Outcome.STOPPED_BY_USER)
    assert simulated(store) == (2, 2, "", 0, 0)


def test_two_campaigns_of_simulated_boards_are_compared_by_name(tmp_path: Path) -> None:
    with run_boards(1, speed=20) as addresses:
        for name, argument in (("good", 10), ("bad", 70)):
            task = {"pkg": "tumatmul", "period": 100, "deadline": 50, "numberofjobs": 3}
            write_taskset(tmp_path, task | {"config": {"arg1": argument}})
            boards = [part for one in addresses for part in ("--board", one)]
            ended = run_taskgen("run", "taskset.json", *boards, "--name", name, cwd=tmp_path)
            assert ended.returncode == 0, ended.stderr
    code, printed, _ = compare(tmp_path / "events.db", "--other-campaign", "bad")
    assert code == 0
    assert "task0.config.arg1: 10 → 70" in printed
    assert "0 misses fewer, 3 misses more" in printed
