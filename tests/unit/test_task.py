"""A task behaves as a dictionary, knows its jobs, and says when it is terminated."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.errors import TaskSetError
from taskgen.task import DEFAULTS, Job, Task
from taskgen.taskset import TaskSet


def test_a_task_is_a_dictionary_in_which_later_parameters_win() -> None:
    task = Task({"pkg": "hey", "priority": 1}, {"priority": 2, "period": 5}, period=7)
    assert isinstance(task, dict)
    assert (task["pkg"], task["priority"], task["period"]) == ("hey", 2, 7)
    assert dict(Task()) == DEFAULTS


def test_tasks_share_nothing_with_their_sources() -> None:
    first = Task({"pkg": "hey"})
    second = Task(first)
    first["pkg"] = "pi"
    first.job_started(1)
    assert second["pkg"] == "hey"
    assert second.jobs == []


def test_an_id_is_a_parameter_too() -> None:
    task = Task()
    assert task.id is None
    task.id = 3
    assert task["id"] == 3


def test_a_job_has_a_response_time_only_when_start_and_end_were_seen() -> None:
    assert Job(5, 9, "EXIT").response_ms == 4
    assert Job(None, 9, "EXIT").response_ms is None
    assert Job(5).response_ms is None
    assert Job(5).is_running


def test_an_end_without_a_start_and_a_start_before_an_end_are_jobs_with_a_gap() -> None:
    task = Task(period=10, numberofjobs=0)
    task.job_ended(1, "EXIT")
    task.job_started(2)
    task.job_started(3)
    task.job_ended(4, "EXIT_PERIOD")
    assert task.jobs == [Job(None, 1, "EXIT"), Job(2), Job(3, 4, "EXIT_PERIOD")]


def test_a_refused_job_stands_before_the_one_that_runs() -> None:
    task = Task(period=10, numberofjobs=0)
    task.job_started(1)
    task.job_refused(2, "NOT_SCHEDULED")
    task.job_ended(3, "EXIT")
    assert task.jobs == [Job(2, 2, "NOT_SCHEDULED"), Job(1, 3, "EXIT")]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 1),
        ({"numberofjobs": 5}, 1),  # without a period a single job, whatever numberofjobs says
        ({"period": 10}, 1),
        ({"period": 10, "numberofjobs": 5}, 5),
        ({"period": 10, "numberofjobs": 0}, None),
        ({"period": "10", "numberofjobs": "2"}, 2),
    ],
)
def test_how_many_jobs_a_task_will_have(parameters: dict[str, Any], expected: int | None) -> None:
    assert Task(parameters).expected_jobs == expected


@given(st.integers(1, 5), st.lists(st.sampled_from(["start", "end", "refused"]), max_size=15))
def test_a_task_is_terminated_when_all_of_its_jobs_have_ended(number: int, happened: list[str]) -> None:
    task = Task(period=10, numberofjobs=number)
    for what in happened:
        if what == "start":
            task.job_started(1)
        elif what == "end":
            task.job_ended(2, "EXIT")
        else:
            task.job_refused(3, "NOT_SCHEDULED")
    assert task.is_terminated == (happened.count("end") >= number)
    ended = sum(what != "start" for what in happened)
    assert sum(not job.is_running for job in task.jobs) == ended


def test_an_endless_task_is_terminated_only_by_jobs_done() -> None:
    task = Task(period=10, numberofjobs=0)
    for time in range(100):
        task.job_started(time)
        task.job_ended(time, "EXIT")
    assert not task.is_terminated
    task.jobs_done()
    assert task.is_terminated


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"arg1": 42},
        {"arg1": "text", "nested": {"a": {"b": None}}},
        {"@attribute": 1, "#text": "x"},
        {"repeated": (1, 2, {"a": 3})},
        {"arg1": [1, 2], "nested": {"arg2": range(3)}},
        "only text",
        7.5,
    ],
)
def test_a_config_that_xml_can_represent_is_accepted(config: Any) -> None:
    taskset = TaskSet([Task(pkg="hey", config=config)]).checked()
    for variant in taskset.variants():
        assert b"<config" in variant.xml()


@pytest.mark.parametrize(
    "config",
    [
        {"not a name": 1},
        {"": 1},
        {1: 2},
        {"<a>": 1},
        {"#comment": "x"},
        {"@a": {"b": 1}},
        {"#text": (1, 2)},
        {"a": "\0"},
        {"a": "\x0b"},
        {"a": "é"},
        {"é": 1},
        {"a": b"bytes"},
        {"a": object()},
        {"a": {1, 2}},
    ],
)
def test_a_config_that_xml_cannot_represent_is_refused(config: Any) -> None:
    with pytest.raises(TaskSetError, match=r"task 0 \(id 0\): config: "):
        TaskSet([Task(pkg="hey", config=config)]).checked()
