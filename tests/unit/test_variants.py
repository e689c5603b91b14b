"""The product of all open choices: in order, lazily, in constant memory."""

import itertools
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.errors import TaskSetError
from taskgen.task import Task
from taskgen.taskset import TaskSet


def drawn(tasks: TaskSet, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(task[name] for task in variant for name in names) for variant in tasks.variants()]


def test_a_task_set_without_choices_is_its_only_variant() -> None:
    tasks = TaskSet([Task(pkg="hey", priority=3)])
    assert [[dict(task) for task in variant] for variant in tasks.variants()] == [[dict(t) for t in tasks]]
    assert tasks.count_variants() == 1


def test_the_last_list_varies_fastest_over_all_tasks() -> None:
    tasks = TaskSet([Task(pkg="hey", priority=[1, 2]), Task(pkg="pi", priority=range(5, 8))])
    assert drawn(tasks, "priority") == [(1, 5), (1, 6), (1, 7), (2, 5), (2, 6), (2, 7)]
    assert tasks.count_variants() == 6


def test_choices_deep_inside_config_vary_and_leave_the_original_alone() -> None:
    config = {"a": {"b": [1, 2], "c": 0}, "d": [3, 4]}
    tasks = TaskSet([Task(pkg="hey", config=config)])
    assert drawn(tasks, "config") == [
        ({"a": {"b": b, "c": 0}, "d": d},) for b, d in itertools.product([1, 2], [3, 4])
    ]
    assert config == {"a": {"b": [1, 2], "c": 0}, "d": [3, 4]}


def test_a_tuple_inside_config_is_one_value() -> None:
    tasks = TaskSet([Task(pkg="hey", config={"a": (1, 2)})])
    assert drawn(tasks, "config") == [({"a": (1, 2)},)]
    assert b"<a>1</a><a>2</a>" in tasks.xml()


def test_variants_are_task_sets_of_their_own() -> None:
    first, second = TaskSet([Task(pkg="hey", priority=[1, 2])]).variants()
    next(iter(first))["priority"] = 99
    assert [task["priority"] for task in second] == [2]


def test_a_billion_variants_begin_at_once_in_constant_memory() -> None:
    tasks = TaskSet([Task(pkg="hey", priority=range(100), executiontime=range(10**7))])
    assert tasks.count_variants() == 10**9
    tracemalloc.start()
    try:
        for _ in itertools.islice(tasks.variants(), 20_000):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024


def test_one_generator_is_never_kept() -> None:
    tasks = TaskSet([Task(pkg="hey", priority=[1, 2], executiontime=(n for n in itertools.count()))])
    tracemalloc.start()
    try:
        for _ in itertools.islice(tasks.variants(), 20_000):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024
    assert tasks.count_variants() is None


def test_a_generator_is_read_only_as_far_as_its_variants_are_drawn() -> None:
    read: list[int] = []

    def values() -> Iterator[int]:
        for value in range(3):
            read.append(value)
            yield value

    variants = TaskSet([Task(pkg="hey", executiontime=values(), priority=[7, 8])]).variants()
    assert read == []
    next(variants)
    next(variants)
    assert read == [0]
    next(variants)
    assert read == [0, 1]


def test_the_first_generator_is_outermost_and_further_ones_are_combined_with_it() -> None:
    tasks = TaskSet(
        [Task(pkg="hey", priority=[1, 2]), Task(pkg="pi", offset=iter([3, 4]), period=iter([5, 6]))]
    )
    assert [
        (p, period, offset) for p, _, _, _, period, offset in drawn(tasks, "priority", "period", "offset")
    ] == [
        (priority, period, offset) for period, priority, offset in itertools.product([5, 6], [1, 2], [3, 4])
    ]


@pytest.mark.parametrize("nothing", [[], range(0), iter(())])
def test_an_empty_choice_is_an_error_that_names_task_and_field(nothing: Any) -> None:
    tasks = TaskSet([Task(pkg="hey"), Task(pkg="hey", config={"a": {"b": nothing}})])
    with pytest.raises(TaskSetError, match=r"task 1: config\.a\.b: an empty choice"):
        next(tasks.variants())


def test_a_generator_used_before_is_an_error_and_no_empty_campaign() -> None:
    values = iter([1, 2])
    tasks = TaskSet([Task(pkg="hey", priority=values)])
    assert len(list(tasks.variants())) == 2
    with pytest.raises(TaskSetError, match="only once"):
        list(tasks.variants())


@pytest.mark.parametrize("nested", [[[1, 2], 3], [range(2), 5], [{"arg1": [1, 2]}]])
def test_a_choice_inside_a_choice_is_refused_before_anything_is_run(nested: Any) -> None:
    tasks = TaskSet([Task(pkg="hey", config=nested)])
    with pytest.raises(TaskSetError, match=r"task 0 .*: config: a choice inside a choice"):
        tasks.checked()


@pytest.mark.parametrize("inside", [{"a": [[1, 2], 3]}, {"a": [{"b": range(2)}]}, {"a": ({"b": [1, 2]}, 3)}])
def test_a_choice_inside_another_or_a_tuple_of_config_is_refused(inside: Any) -> None:
    tasks = TaskSet([Task(pkg="hey", config=inside)])
    with pytest.raises(TaskSetError, match=r"task 0 .*: config: .*inside"):
        tasks.checked()


def test_a_choice_from_a_generator_is_refused() -> None:
    tasks = TaskSet([Task(pkg="hey", priority=iter([1, [2, 3]]))])
    variants = tasks.variants()
    next(variants)
    with pytest.raises(TaskSetError, match="task 0: priority: a choice inside a choice"):
        next(variants)


_values = st.lists(st.integers(0, 127), min_size=1, max_size=3)


@given(st.lists(st.tuples(_values, _values), min_size=1, max_size=3))
def test_the_variants_are_the_cartesian_product_in_its_order(
    choices: list[tuple[list[int], list[int]]],
) -> None:
    tasks = TaskSet([Task(pkg="hey", priority=a, config={"arg1": b}) for a, b in choices])
    flat = [values for pair in choices for values in pair]
    assert [
        tuple(value for task in variant for value in (task["priority"], task["config"]["arg1"]))
        for variant in tasks.variants()
    ] == list(itertools.product(*flat))
    assert tasks.count_variants() == len(list(itertools.product(*flat)))
