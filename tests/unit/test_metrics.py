"""Metrics of jobs, against schedules computed by hand and an independent computation."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.metrics import JobRow, RunMetrics, elapsed_ms, job_rows

_TASK = {"id": 0, "period": 100, "deadline": 40}


def rows(tasks: Sequence[dict[str, Any]], *events: tuple[Any, ...]) -> list[JobRow]:
    """The jobs of events given as task, type, time stamp and perhaps attributes."""
    timed = [(*event, None) if len(event) == 3 else event for event in events]
    return list(job_rows("run", tasks, timed))


def test_a_schedule_computed_by_hand_has_the_columns_of_litmus_job_statistics() -> None:
    """`st-job-stats` of LITMUS^RT prints response, whether the deadline was missed, lateness and tardiness.

    Two tasks on one core, fixed priority, both released at 1,000: task 0 needs 30 ms of every 100, its
    deadline is 40; task 1 needs 80 ms of every 200, its deadline is 100. Task 1 runs from 1,030 to 1,100,
    is preempted for 30 ms, and ends at 1,140.
    """
    tasks = [{"id": 0, "period": 100, "deadline": 40}, {"id": 1, "period": 200, "deadline": 100}]
    found = rows(
        tasks,
        (0, "START", 1_000),
        (1, "START", 1_000),
        (0, "EXIT", 1_030),
        (0, "START", 1_100),
        (0, "EXIT", 1_130),
        (1, "EXIT", 1_140),
        (0, "START", 1_200),
        (1, "START", 1_200),
        (0, "EXIT", 1_230),
        (0, "START", 1_300),
        (0, "EXIT", 1_345),
        (1, "EXIT", 1_355),
    )
    assert [
        (row.task_id, row.job, row.response_ms, row.is_miss, row.lateness_ms, row.tardiness_ms)
        for row in found
    ] == [
        (0, 0, 30, 0, -10, 0),
        (0, 1, 30, 0, -10, 0),
        (1, 0, 140, 1, 40, 40),
        (0, 2, 30, 0, -10, 0),
        (0, 3, 45, 1, 5, 5),
        (1, 1, 155, 1, 55, 55),
    ]


@pytest.mark.parametrize(
    ("exit_type", "response_ms", "is_miss", "is_cut_off"),
    [
        ("EXIT", 20, 0, 0),
        ("EXIT_ERROR", 20, 0, 0),
        ("OUT_OF_QUOTA", 20, 0, 0),
        ("EXIT_CRITICAL", 20, 1, 0),
        ("EXIT_PERIOD", 20, 1, 0),
        ("EXIT_EXTERNAL", None, None, 1),
    ],
)
def test_the_exit_type_determines_whether_a_deadline_was_missed(
    exit_type: str, response_ms: int | None, is_miss: int | None, is_cut_off: int
) -> None:
    (row,) = rows([_TASK], (0, "START", 500), (0, exit_type, 520))
    assert (row.response_ms, row.is_miss, row.is_cut_off) == (response_ms, is_miss, is_cut_off)


def test_an_end_at_the_deadline_is_not_a_miss_and_one_after_it_is() -> None:
    at, after = rows([_TASK], (0, "START", 0), (0, "EXIT", 40), (0, "START", 100), (0, "EXIT", 141))
    assert (at.is_miss, at.lateness_ms, after.is_miss, after.lateness_ms) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("parameters", "deadline_ms", "is_miss"),
    [
        ({"period": 100, "deadline": 40}, 40, 1),
        ({"period": 100, "deadline": 0}, 100, 0),
        ({"period": 0, "deadline": 0}, None, 0),
    ],
)
def test_a_deadline_of_0_is_the_period_and_without_both_nothing_is_missed(
    parameters: dict[str, int], deadline_ms: int | None, is_miss: int
) -> None:
    (row,) = rows([{"id": 0} | parameters], (0, "START", 0), (0, "EXIT", 70))
    assert (row.deadline_ms, row.is_miss) == (deadline_ms, is_miss)


def test_nothing_is_guessed_of_a_task_without_parameters() -> None:
    (row,) = rows([], (7, "START", 0), (7, "EXIT", 70))
    assert (row.response_ms, row.deadline_ms, row.is_miss) == (70, None, None)


def test_a_refused_release_is_a_miss_without_response() -> None:
    refused, done = rows([_TASK], (0, "START", 0), (0, "NOT_SCHEDULED", 100), (0, "EXIT", 110))
    assert (refused.job, refused.response_ms, refused.is_miss) == (0, None, 1)
    assert (done.job, done.response_ms) == (1, 110)


def test_releases_without_a_job_are_counted_before_the_next_one_and_are_not_misses() -> None:
    killed, after = rows(
        [_TASK], (0, "START", 3), (0, "EXIT_PERIOD", 103), (0, "START", 204), (0, "EXIT", 220)
    )
    assert (killed.skipped_releases_before, after.skipped_releases_before) == (0, 1)
    assert (killed.release_jitter_ms, after.release_jitter_ms) == (0, 1)
    metrics = RunMetrics()
    assert list(metrics.counted([killed, after])) == [killed, after]
    assert (metrics.jobs, metrics.misses, metrics.skipped_releases) == (2, 1, 1)


def test_a_release_that_was_not_seen_is_not_counted_from() -> None:
    lost, after = rows([_TASK], (0, "EXIT", 110), (0, "START", 300), (0, "EXIT", 320))
    assert (lost.release_ms, lost.response_ms, lost.skipped_releases_before) == (None, None, None)
    assert after.response_ms == 20


def test_an_end_that_was_not_seen_is_unknown() -> None:
    lost, after = rows([_TASK], (0, "START", 0), (0, "START", 100), (0, "EXIT", 120))
    assert (lost.end_ms, lost.exit_type, lost.is_miss) == (None, None, None)
    assert after.is_miss == 0


def test_cpu_time_is_the_boards_report_on_the_task_itself() -> None:
    child = '{"task": [{"@id": "9", "@execution-time": "5"}, {"@id": "0", "@execution-time": "12"}]}'
    known, unknown = rows(
        [_TASK], (0, "START", 0), (0, "EXIT", 20, child), (0, "START", 100), (0, "EXIT", 120, '{"@x": "y"}')
    )
    assert (known.cpu_ms, unknown.cpu_ms) == (12, None)
    metrics = RunMetrics()
    list(metrics.counted([known]))
    assert metrics.utilization == 12 / 20
    list(metrics.counted([unknown]))
    assert metrics.utilization is None


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "elapsed"),
    [
        (5, 9, 4),
        (2**32 - 10, 5, 15),
        (2**64 - 2, 3, 5),
        (500_000, 300, None),
        (2**40, 7, None),
    ],
)
def test_a_clock_may_wrap_but_not_be_set_back(start_ms: int, end_ms: int, elapsed: int | None) -> None:
    assert elapsed_ms(start_ms, end_ms) == elapsed


_jobs = st.lists(
    st.tuples(
        st.integers(0, 3),  # ticks of the timer that released nothing, before the job
        st.integers(-3, 3),  # how far the release is off the grid
        st.integers(0, 96),  # response time
        st.sampled_from(["EXIT", "EXIT", "EXIT_ERROR", "EXIT_CRITICAL", "EXIT_PERIOD", "EXIT_EXTERNAL"]),
    ),
    min_size=1,
    max_size=20,
)


@given(_jobs, st.integers(0, 120), st.integers(0, 2**32))
def test_metrics_are_those_of_an_independent_computation(
    jobs: list[tuple[int, int, int, str]], deadline: int, booted: int
) -> None:
    """The schedule is made first; its metrics follow from how it was made, not from its events."""
    events: list[tuple[int, str, int, None]] = []
    truth = []
    tick = 0
    first, *later = jobs
    for number, (skipped, off, response, exit_type) in enumerate([(0, 0, *first[2:]), *later]):
        tick += 1 + skipped
        release = booted + 100 * tick + off
        events += [(0, "START", release, None), (0, exit_type, release + response, None)]
        is_cut_off = exit_type == "EXIT_EXTERNAL"
        relative = deadline or 100
        is_late = exit_type in {"EXIT_CRITICAL", "EXIT_PERIOD"} or response > relative
        truth.append(
            (
                number,
                release,
                None if is_cut_off else response,
                relative,
                None if is_cut_off else response - relative,
                None if is_cut_off else max(response - relative, 0),
                None if is_cut_off else int(is_late),
                int(is_cut_off),
                skipped,
                off,
            )
        )
    found = job_rows("run", [{"id": 0, "period": 100, "deadline": deadline}], events)
    assert [
        (
            row.job,
            row.release_ms,
            row.response_ms,
            row.deadline_ms,
            row.lateness_ms,
            row.tardiness_ms,
            row.is_miss,
            row.is_cut_off,
            row.skipped_releases_before,
            row.release_jitter_ms,
        )
        for row in found
    ] == truth
