"""What makes a run that its handler has ended a fault of the board."""

from __future__ import annotations

import pytest

from taskgen.errors import SettingsError
from taskgen.event import Stop
from taskgen.retry_policy import RetryOn, ending
from taskgen.run import Outcome
from taskgen.task import Task
from taskgen.taskset import TaskSet

ALL = frozenset(RetryOn)


def run(*ends: str, numberofjobs: int = 3) -> TaskSet:
    """A task-set whose second task had jobs with these ends, while the first task has done its work."""
    taskset = TaskSet(
        [Task(pkg="hey", period=10), Task(pkg="hey", period=10, numberofjobs=numberofjobs, id=3)]
    )
    first, second = taskset
    first.job_started(0)
    first.job_ended(1, "EXIT")
    for number, end in enumerate(ends):
        if end == "JOBS_DONE":
            second.jobs_done()
        elif end == "NOT_SCHEDULED":
            second.job_refused(number, end)
        else:
            second.job_started(number)
            second.job_ended(number, end)
    return taskset


@pytest.mark.parametrize("end", ["EXIT_ERROR", "OUT_OF_QUOTA", "OUT_OF_CAPS"])
def test_an_end_that_the_lab_has_named_makes_the_run_a_board_error_and_no_other_end_does(end: str) -> None:
    taskset = run("EXIT", end, "EXIT")
    assert ending(taskset, False, {RetryOn(end)}) == (Outcome.BOARD_ERROR, f"task 3 ended with {end}")
    assert ending(taskset, False, ALL - {RetryOn(end)}) == (Outcome.FINISHED, "")
    assert ending(taskset, False, ()) == (Outcome.FINISHED, "")


def test_every_task_and_end_is_named_once() -> None:
    taskset = run("EXIT_ERROR", "EXIT_ERROR", "OUT_OF_QUOTA")
    assert ending(taskset, False, ALL) == (
        Outcome.BOARD_ERROR,
        "task 3 ended with EXIT_ERROR; task 3 ended with OUT_OF_QUOTA",
    )


def test_kills_for_time_are_results_of_the_task_set() -> None:
    taskset = run("EXIT_PERIOD", "EXIT_CRITICAL", "EXIT")
    assert ending(taskset, False, ALL) == (Outcome.FINISHED, "")


@pytest.mark.parametrize(
    ("ends", "ended"),
    [(("EXIT", "EXIT", "JOBS_DONE"), 2), (("EXIT", "NOT_SCHEDULED", "NOT_SCHEDULED", "JOBS_DONE"), 1)],
)
def test_a_finished_run_has_too_few_jobs_if_fewer_ended_than_the_task_has_and_refused_ones_do_not_count(
    ends: tuple[str, ...], ended: int
) -> None:
    assert ending(run(*ends), False, {RetryOn.TOO_FEW_JOBS}) == (
        Outcome.BOARD_ERROR,
        f"task 3 ended with TOO_FEW_JOBS ({ended} of 3)",
    )
    assert ending(run(*ends), False, ALL - {RetryOn.TOO_FEW_JOBS}) == (Outcome.FINISHED, "")


def test_a_task_without_a_number_of_jobs_never_has_too_few() -> None:
    assert ending(run("EXIT", "JOBS_DONE", numberofjobs=0), False, ALL) == (Outcome.FINISHED, "")


def test_a_run_that_was_stopped_by_a_rule_never_has_too_few_jobs_but_may_have_a_named_end() -> None:
    stop = Stop("enough")
    assert ending(run("EXIT"), stop, ALL) == (Outcome.STOPPED_BY_RULE, "enough")
    assert ending(run("EXIT_ERROR"), stop, ALL) == (
        Outcome.BOARD_ERROR,
        "task 3 ended with EXIT_ERROR; enough",
    )


def test_names_are_separated_by_commas() -> None:
    assert RetryOn.read("EXIT_ERROR, TOO_FEW_JOBS") == {RetryOn.EXIT_ERROR, RetryOn.TOO_FEW_JOBS}
    assert RetryOn.read(["OUT_OF_CAPS"]) == {RetryOn.OUT_OF_CAPS}
    assert RetryOn.read("") == frozenset()


def test_a_wrong_name_gets_the_names_there_are() -> None:
    with pytest.raises(SettingsError, match="'EXIT'; choose from EXIT_ERROR, OUT_OF_QUOTA, OUT_OF_CAPS, "):
        RetryOn.read("EXIT_ERROR,EXIT")
