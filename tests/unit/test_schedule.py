"""The simulated schedule: what each parameter of a task does to its jobs."""

from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgen.event_type import JOB_ENDS
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import schedule

BINARIES = frozenset({"work"})

Event = tuple[int, str, int]
"""Time in ms, type, task id."""


def task(number: int, run_time: int, **parameters: int) -> PeriodicTask:
    """A task whose jobs run for `run_time` ms."""
    return PeriodicTask(id=number, pkg="work", executiontime=run_time, **parameters)


def events(*tasks: PeriodicTask, count: int | None = None, **settings: Any) -> list[Event]:
    """The events as plain tuples."""
    happened = islice(schedule(tasks, binaries=BINARIES, **settings), count)
    return [(time, str(event_type), task_id) for time, event_type, task_id in happened]


def of(task_id: int, happened: list[Event]) -> list[tuple[int, str]]:
    return [(time, event_type) for time, event_type, number in happened if number == task_id]


def test_a_single_job_starts_runs_and_is_done() -> None:
    assert events(task(7, 30)) == [(0, "START", 7), (30, "EXIT", 7), (30, "JOBS_DONE", 7)]


def test_without_a_period_there_is_one_job_whatever_numberofjobs_says() -> None:
    assert of(0, events(task(0, 5, numberofjobs=4))) == [(0, "START"), (5, "EXIT"), (5, "JOBS_DONE")]


def test_offset_delays_the_first_release_and_period_separates_the_others() -> None:
    starts = [e for e in events(task(0, 5, offset=7, period=20, numberofjobs=3)) if e[1] == "START"]
    assert starts == [(7, "START", 0), (27, "START", 0), (47, "START", 0)]


def test_a_more_urgent_job_preempts_a_running_one() -> None:
    happened = events(task(0, 50, priority=20), task(1, 10, priority=10, offset=5))
    assert of(0, happened)[:2] == [(0, "START"), (60, "EXIT")]
    assert of(1, happened)[:2] == [(5, "START"), (15, "EXIT")]


def test_an_equal_priority_does_not_preempt() -> None:
    happened = events(task(0, 10), task(1, 50), task(2, 10, offset=5))
    assert [task_id for _, event_type, task_id in happened if event_type == "EXIT"] == [0, 1, 2]


def test_edf_runs_the_earlier_deadline_first_even_if_released_later() -> None:
    happened = events(
        task(0, 50, priority=128, deadline=200), task(1, 10, priority=128, deadline=20, offset=5)
    )
    assert of(1, happened)[:2] == [(5, "START"), (15, "EXIT")]
    assert of(0, happened)[1] == (60, "EXIT")


def test_without_a_deadline_edf_uses_the_period_and_without_either_the_job_is_last() -> None:
    happened = events(
        task(0, 10, priority=128),
        task(1, 10, priority=128, period=90),
        task(2, 10, priority=128, deadline=80),
    )
    assert [task_id for _, event_type, task_id in happened if event_type == "EXIT"] == [2, 1, 0]


def test_edf_tasks_are_below_all_fixed_priorities() -> None:
    happened = events(task(0, 10, priority=128, deadline=11), task(1, 10, priority=127))
    assert of(0, happened)[:2] == [(0, "START"), (20, "EXIT")]


def test_tasks_on_different_cores_run_at_the_same_time() -> None:
    happened = events(task(0, 10, coreoffset=0), task(1, 10, coreoffset=1))
    assert [e for e in happened if e[1] == "START"] == [(0, "START", 0), (0, "START", 1)]


def test_cores_beyond_the_boards_are_counted_on_from_its_first() -> None:
    happened = events(task(0, 10, coreoffset=2), task(1, 10, coreoffset=0), cores=2)
    assert of(1, happened)[:2] == [(0, "START"), (20, "EXIT")]


def test_a_job_moves_to_another_core_to_make_room_for_one_that_cannot() -> None:
    happened = events(task(0, 30, cores=2, priority=1), task(1, 10, coreoffset=0, priority=2, offset=5))
    assert of(1, happened)[:2] == [(5, "START"), (15, "EXIT")]
    assert of(0, happened)[1] == (30, "EXIT")


def test_two_cores_run_the_two_most_urgent_of_three() -> None:
    happened = events(*(task(n, 10, cores=2, priority=n) for n in range(3)), cores=2)
    assert [of(n, happened)[1] for n in range(3)] == [(10, "EXIT"), (10, "EXIT"), (20, "EXIT")]


def test_a_job_is_killed_at_its_critical_time_counted_from_its_release() -> None:
    happened = events(task(0, 30, priority=1), task(1, 50, priority=2, criticaltime=40))
    assert of(1, happened) == [(0, "START"), (40, "EXIT_CRITICAL"), (40, "JOBS_DONE")]


def test_a_job_that_is_done_at_its_critical_time_exits() -> None:
    assert of(0, events(task(0, 20, criticaltime=20)))[1] == (20, "EXIT")


def test_a_job_that_overruns_is_killed_at_the_next_tick_which_releases_nothing() -> None:
    endless = PeriodicTask(id=0, pkg="idle", period=40, numberofjobs=2)
    assert of(0, events(endless)) == [
        (0, "START"),
        (40, "EXIT_PERIOD"),
        (80, "START"),
        (120, "EXIT_PERIOD"),
        (120, "JOBS_DONE"),
    ]


def test_a_job_that_never_got_a_core_has_its_release_and_is_killed_at_the_next() -> None:
    hog = PeriodicTask(id=0, pkg="idle", priority=1)
    assert of(1, events(hog, task(1, 5, priority=2, period=40))) == [
        (0, "START"),
        (40, "EXIT_PERIOD"),
        (40, "JOBS_DONE"),
    ]


def test_an_endless_job_leaves_nothing_more_to_happen() -> None:
    assert events(PeriodicTask(id=0, pkg="idle")) == [(0, "START", 0)]


def test_numberofjobs_0_releases_jobs_indefinitely() -> None:
    happened = events(task(0, 1, period=10, numberofjobs=0), count=2001)
    assert happened[-1] == (10_000, "START", 0)
    assert not [e for e in happened if e[1] == "JOBS_DONE"]


def test_every_release_of_a_task_that_does_not_fit_is_refused() -> None:
    happened = events(task(0, 6, period=10), task(1, 6, period=10, numberofjobs=2), task(2, 4, period=10))
    assert of(1, happened) == [(0, "NOT_SCHEDULED"), (10, "NOT_SCHEDULED"), (10, "JOBS_DONE")]
    assert of(2, happened)[1] == (10, "EXIT")


def test_a_task_fits_on_the_cores_that_others_leave() -> None:
    happened = events(task(0, 6, period=10), task(1, 6, period=10, coreoffset=1))
    assert of(1, happened)[0] == (0, "START")


def test_more_than_a_whole_core_fits_nowhere() -> None:
    assert events(task(0, 11, period=10, cores=2))[0] == (0, "NOT_SCHEDULED", 0)


@pytest.mark.parametrize(
    ("parameters", "exit_type"),
    [
        ({"quota": 512 * 1024 - 1}, "OUT_OF_QUOTA"),
        ({"quota": 512 * 1024}, "EXIT"),
        ({"caps": 19}, "OUT_OF_CAPS"),
        ({"caps": 20}, "EXIT"),
        ({"pkg": "unknown"}, "EXIT_ERROR"),
    ],
)
def test_a_job_that_lacks_resources_starts_and_fails(parameters: dict[str, Any], exit_type: str) -> None:
    lacking = PeriodicTask(id=0, **({"pkg": "hey"} | parameters))
    assert [event_type for _, event_type in of(0, events(lacking))] == ["START", exit_type, "JOBS_DONE"]


def test_an_end_comes_before_the_release_at_the_same_time() -> None:
    happened = events(task(0, 10, priority=5, offset=10), task(1, 10, priority=1, offset=0))
    assert happened[1:4] == [(10, "EXIT", 1), (10, "JOBS_DONE", 1), (10, "START", 0)]


def test_a_board_without_an_admission_test_refuses_nothing() -> None:
    happened = list(schedule([task(0, 11, period=10, cores=2)], binaries=BINARIES, has_admission_test=False))
    assert [event.type for event in happened] == ["START", "EXIT_PERIOD", "JOBS_DONE"]


TASKS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        pkg=st.sampled_from(["work", "cond_42", "cond_mod", "hey", "idle", "unknown"]),
        executiontime=st.integers(0, 30),
        criticaltime=st.integers(0, 40),
        priority=st.sampled_from([1, 2, 127, 128]),
        deadline=st.integers(0, 60),
        period=st.integers(0, 60),
        offset=st.integers(0, 30),
        numberofjobs=st.integers(0, 4),
        cores=st.integers(1, 3),
        coreoffset=st.integers(0, 3),
        arg1=st.integers(0, 40),
    ),
    min_size=1,
    max_size=6,
)


def taskset(parameters: list[dict[str, Any]]) -> tuple[PeriodicTask, ...]:
    return tuple(PeriodicTask(id=number, **given) for number, given in enumerate(parameters))


@settings(deadline=None, max_examples=60)
@given(TASKS, st.integers(0, 5), st.integers(1, 3))
def test_the_same_task_set_and_seed_give_the_same_events(
    parameters: list[dict[str, Any]], seed: int, cores: int
) -> None:
    tasks = taskset(parameters)
    first, second = (events(*tasks, seed=seed, cores=cores, count=200) for _ in range(2))
    assert first == second


@settings(deadline=None, max_examples=100)
@given(TASKS, st.integers(1, 3))
def test_whatever_the_tasks_are_each_ones_jobs_follow_one_another(
    parameters: list[dict[str, Any]], cores: int
) -> None:
    """START and end alternate, time never goes back, and a counted task ends all its jobs."""
    tasks = taskset(parameters)
    happened = events(*tasks, cores=cores, count=300)
    assert [time for time, _, _ in happened] == sorted(time for time, _, _ in happened)
    for one in tasks:
        kinds = [kind for _, kind in of(one.id, happened)]
        jobs = [kind for kind in kinds if kind not in ("JOBS_DONE", "NOT_SCHEDULED")]
        assert all(kind == "START" for kind in jobs[::2])
        assert all(kind in JOB_ENDS for kind in jobs[1::2])
        if "JOBS_DONE" in kinds:
            ended = sum(kind in JOB_ENDS or kind == "NOT_SCHEDULED" for kind in kinds)
            assert ended == (one.numberofjobs if one.period else 1)
            assert kinds[-1] == "JOBS_DONE"


def test_only_another_seed_varies_run_times() -> None:
    def ends(seed: int) -> list[Event]:
        return [e for e in events(PeriodicTask(id=0, pkg="cond_42", arg1=500), seed=seed) if e[1] == "EXIT"]

    assert len({tuple(ends(seed)) for seed in range(20)}) > 1
    assert ends(3) == ends(3)
