"""A set of tasks: ids, validation with source, task and field, and what events change."""

import itertools
from typing import Any

import pytest
import xmltodict
from hypothesis import given
from hypothesis import strategies as st

from taskgen.errors import TaskSetError
from taskgen.run import Run
from taskgen.task import Job, Task
from taskgen.taskset import TaskSet, to_xml
from tests.support.profiles import parsed_profile


def test_tasks_without_an_id_get_the_next_free_one() -> None:
    taskset = TaskSet([Task(pkg="a"), Task(pkg="b", id=7), Task(pkg="c")])
    taskset.append(Task(pkg="d"))
    assert [task.id for task in taskset] == [0, 7, 8, 9]
    assert len(taskset) == 4


def test_a_plain_dictionary_of_parameters_becomes_a_task() -> None:
    taskset = TaskSet([{"pkg": "a", "period": 5}, Task(pkg="b")])
    taskset.append({"pkg": "c"})
    assert [type(task) for task in taskset] == [Task] * 3
    assert taskset.xml() == TaskSet([Task(pkg="a", period=5), Task(pkg="b"), Task(pkg="c")]).xml()


@pytest.mark.parametrize("wrong", [[5], ["pkg"], [None], Task(pkg="a"), {"pkg": "a"}])
def test_an_object_that_is_not_a_task_is_refused_with_a_hint(wrong: Any) -> None:
    with pytest.raises(TaskSetError, match=r"task-set: task 0: .* is not a task; write TaskSet\(\[Task\("):
        TaskSet(wrong)


@pytest.mark.parametrize("wrong", ["x", [1, 2], 1.5, -3])
def test_an_invalid_id_is_reported_by_the_check_and_not_by_the_next_task(wrong: Any) -> None:
    taskset = TaskSet([Task(pkg="a", id=wrong), Task(pkg="b")])
    with pytest.raises(TaskSetError, match=r"task 0 .*: id: "):
        taskset.checked()


def test_a_duplicate_id_is_refused() -> None:
    with pytest.raises(TaskSetError, match="task 1: id: 3 is already in use"):
        TaskSet([Task(pkg="a", id=3), Task(pkg="b", id=3)])


@pytest.mark.parametrize(("first", "second"), [(3, "3"), ("3", "03")])
def test_a_duplicate_id_in_another_spelling_is_refused(first: Any, second: Any) -> None:
    with pytest.raises(TaskSetError, match="id: 3 is already in use"):
        TaskSet([Task(pkg="a", id=first), Task(pkg="b", id=second)]).checked()


def test_the_binaries_are_those_of_all_variants() -> None:
    taskset = TaskSet([Task(pkg=["hey", "pi"]), Task(pkg="hey"), Task(pkg=iter(["hidden"]))])
    assert taskset.binaries() == {"hey", "pi"}


def test_the_xml_is_what_the_taskloader_reads() -> None:
    xml = TaskSet([Task(pkg="hey", config={"arg1": 42}, offset=3)]).checked().xml()
    assert xml.startswith(b"<taskset><periodictask>")
    assert xml.isascii()
    (task,) = xmltodict.parse(xml, force_list=["periodictask"])["taskset"]["periodictask"]
    assert task["config"] == {"arg1": "42"}
    assert {name: task[name] for name in ("id", "pkg", "offset", "quota", "numberofjobs")} == {
        "id": "0",
        "pkg": "hey",
        "offset": "3",
        "quota": "1M",
        "numberofjobs": "1",
    }


def test_special_characters_in_a_config_are_escaped() -> None:
    taskset = TaskSet([Task(pkg="hey", config={"arg1": "<a>&\"'"})]).checked()
    parsed = xmltodict.parse(taskset.xml())
    assert parsed["taskset"]["periodictask"]["config"]["arg1"] == "<a>&\"'"


@pytest.mark.parametrize("elements", [{"a": "é"}, {"a": {1: 2}}, {"<": 1}])
def test_a_value_that_xml_cannot_represent_is_an_error(elements: dict[str, Any]) -> None:
    with pytest.raises(TaskSetError):
        to_xml(elements)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"priority": 129}, "priority: .*128.*129"),
        ({"priority": "high"}, "priority: .*integer.*'high'"),
        ({"priority": [1, 2, 129]}, "priority: .*129"),
        ({"priority": range(100, 130)}, "priority: .*129"),
        ({"period": 1.5}, "period: .*1.5"),
        ({"period": 2**32}, "period: "),
        ({"quota": "1 MB"}, "quota: .*'1 MB' is not an amount of memory.*'1M'"),
        ({"quota": "1T"}, "quota: "),
        ({"quota": -1}, "quota: "),
        ({"quota": True}, "quota: has to be a number .*True"),
        ({"period": False}, "period: has to be a number .*False"),
        ({"priority": [1, True]}, "priority: has to be a number .*True"),
        ({"period": []}, "period: an empty choice"),
        ({"period": range(0)}, "period: an empty choice"),
        ({"config": {"a": {"b": []}}}, "config.a.b: an empty choice"),
        ({"cores": 0}, "cores: "),
        ({"offset": None}, "offset: "),
        ({"id": [1, 2]}, "id: has to be one number"),
        ({"pkg": None}, "pkg: missing"),
        ({"pkg": ""}, "pkg: "),
        ({"pkg": 3}, "pkg: "),
        ({"pkg": "sixteencharacter"}, "pkg: .*at most 15"),
        ({"pkg": "../etc"}, "pkg: .*valid name"),
        ({"pkg": ".hidden"}, "pkg: .*valid name"),
        ({"pkg": "hey\n"}, "pkg: .*valid name"),
        ({"pkg": "héy"}, "pkg: .*valid name"),
        ({"perriod": 5}, "perriod: unknown parameter; valid ones are .*period"),
    ],
)
def test_a_wrong_value_is_named_with_source_task_and_field(parameters: dict[str, Any], says: str) -> None:
    taskset = TaskSet([Task(pkg="hey"), Task({"pkg": "hey"} | parameters)])
    taskset.source = "tasks.json"
    with pytest.raises(TaskSetError, match=rf"^tasks.json: task 1 \(id .*\): {says}"):
        taskset.checked()


def test_an_empty_task_set_is_refused() -> None:
    with pytest.raises(TaskSetError, match="has no task"):
        TaskSet().checked()


def test_checking_gives_every_value_its_type_and_leaves_the_original_alone() -> None:
    task = Task(pkg="hey", period="10", priority=["1", 2], quota=4096)
    checked = TaskSet([task]).checked()
    (result,) = checked
    assert (result["period"], result["priority"], result["quota"]) == (10, [1, 2], "4096")
    assert task["period"] == "10"
    assert [dict(one) for one in checked.checked()] == [dict(result)]


def test_values_of_a_generator_are_not_consumed_by_the_check() -> None:
    taskset = TaskSet([Task(pkg="hey", priority=iter([1, 2]))]).checked()
    assert [task["priority"] for variant in taskset.variants() for task in variant] == [1, 2]


def test_source_stays_with_variants_and_copies() -> None:
    taskset = TaskSet([Task(pkg="hey", priority=[1, 2])])
    taskset.source = "here"
    assert {one.source for one in (*taskset.variants(), taskset.without_jobs(), taskset.checked())} == {
        "here"
    }


def test_a_variant_that_is_drawn_again_keeps_its_parameters_and_its_number() -> None:
    stored = TaskSet([Task(pkg="hey", priority=5, period=[10, 20])])
    stored.parameters, stored.first_variant = {"task0.priority": 5}, 7
    drawn = list(stored.checked().variants())
    assert stored.checked().first_variant == 7
    assert [one.parameters for one in drawn] == [
        {"task0.priority": 5, "task0.period": period} for period in (10, 20)
    ]


def test_events_become_jobs() -> None:
    taskset = TaskSet([Task(pkg="hey", period=10, numberofjobs=3), Task(pkg="pi")])
    taskset.apply(
        parsed_profile(
            ("START", 0, 1), ("START", 1, 1), ("EXIT", 0, 3), ("NOT_SCHEDULED", 0, 11), ("EXIT_ERROR", 1, 9)
        )
    )
    first, second = taskset
    assert first.jobs == [Job(1, 3, "EXIT"), Job(11, 11, "NOT_SCHEDULED")]
    assert second.jobs == [Job(1, 9, "EXIT_ERROR")]
    assert second.is_terminated
    assert not taskset.is_terminated
    taskset.apply(parsed_profile(("JOBS_DONE", 0, 12)))
    assert taskset.is_terminated


def test_it_continues_between_two_jobs_of_a_periodic_task() -> None:
    taskset = TaskSet([Task(pkg="hey", period=10, numberofjobs=2)])
    taskset.apply(parsed_profile(("START", 0, 1), ("EXIT", 0, 2)))
    assert not taskset.is_terminated


@pytest.mark.parametrize(
    "event", [("EXIT", 99, 1), ("EXTERNAL", -1, 1), ("NEW_TYPE", 0, 1), ("EXIT", "00000000000000001", 1)]
)
def test_unknown_tasks_and_types_change_nothing(event: tuple[str, Any, int]) -> None:
    taskset = TaskSet([Task(pkg="hey")])
    taskset.apply(parsed_profile(event))
    assert [task.jobs for task in taskset] == [[]]


def test_within_a_run_a_profile_counts_once_however_many_handlers_apply_it() -> None:
    taskset = TaskSet([Task(pkg="hey", period=10, numberofjobs=4)])
    taskset.run = Run("board:1")
    for first_seq in (0, 2):
        taskset.run.first_seq = first_seq
        for _ in range(3):
            taskset.apply(parsed_profile(("START", 0, 1), ("EXIT", 0, 2)))
    (task,) = taskset
    assert len(task.jobs) == 2


def test_an_id_longer_than_any_number_is_refused_wherever_it_stands() -> None:
    long = "9" * 5000
    for tasks in ([{"pkg": "hey", "id": long}], [{"pkg": "hey", "id": long}, {"pkg": "hey"}]):
        with pytest.raises(TaskSetError, match="id"):
            TaskSet(tasks).checked()


def test_copies_without_jobs_begin_anew() -> None:
    taskset = TaskSet([Task(pkg="hey")])
    taskset.apply(parsed_profile(("START", 0, 1), ("EXIT", 0, 2)))
    fresh = taskset.without_jobs()
    assert not fresh.is_terminated
    assert [task.jobs for task in fresh] == [[]]
    assert taskset.is_terminated


_types = st.sampled_from(["START", "EXIT", "EXIT_CRITICAL", "NOT_SCHEDULED", "JOBS_DONE", "EXTERNAL", "?"])
_events = st.lists(st.tuples(_types, st.integers(-1, 3), st.integers(0, 2**64 - 1)), max_size=30)


@given(_events, st.lists(st.integers(0, 30), max_size=5))
def test_how_events_are_spread_over_profiles_makes_no_difference(
    events: list[tuple[str, int, int]], cuts: list[int]
) -> None:
    def jobs_after(*profiles: list[tuple[str, int, int]]) -> list[Any]:
        taskset = TaskSet([Task(pkg="hey", period=5, numberofjobs=n) for n in (0, 1, 3)])
        taskset.run = Run("board:1")
        first_seq = 0
        for one in profiles:
            taskset.run.first_seq = first_seq
            taskset.apply(parsed_profile(*one))
            first_seq += len(one)
        return [(task.jobs, task.is_terminated) for task in taskset]

    places = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    pieces = [events[a:b] for a, b in itertools.pairwise(places)]
    assert jobs_after(*pieces) == jobs_after(events)
