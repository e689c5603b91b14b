"""A run's jobs as a text chart: what is drawn where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.cli.gantt import ASCII_STROKES, gantt
from taskgen.cli.show import _placed
from taskgen.metrics import JobRow


def job(task: int, start: int | None, end: int | None, exit_type: str | None = "EXIT") -> JobRow:
    return JobRow(
        run_id="run",
        task_id=task,
        job=0,
        release_ms=start,
        end_ms=end,
        exit_type=exit_type,
        response_ms=None,
        deadline_ms=None,
        lateness_ms=None,
        tardiness_ms=None,
        is_miss=None,
        is_cut_off=0,
        skipped_releases_before=None,
        release_jitter_ms=None,
        cpu_ms=None,
    )


def drawn(*jobs: JobRow, width: int = 23, origin: int = 0) -> list[str]:
    return [line.plain.rstrip() for line in gantt(jobs, {0: "a", 1: "b"}, origin, width, ASCII_STROKES)]


def test_a_job_is_drawn_from_its_start_to_its_end() -> None:
    first, second, *_ = drawn(job(0, 0, 9), job(1, 9, 18))
    assert first == "0 a [========]"
    assert second == "1 b          [========]"


@pytest.mark.parametrize(
    ("exit_type", "letter"),
    [
        ("EXIT_CRITICAL", "C"),
        ("EXIT_ERROR", "E"),
        ("EXIT_EXTERNAL", "X"),
        ("EXIT_PERIOD", "P"),
        ("OUT_OF_QUOTA", "Q"),
        ("OUT_OF_CAPS", "K"),
        (None, "?"),
        ("OF_TOMORROW", "!"),
    ],
)
def test_an_unusual_end_is_a_letter_that_the_legend_explains(exit_type: str | None, letter: str) -> None:
    row, *_, legend = drawn(job(0, 0, 18, exit_type))
    assert row == f"0 a [================={letter}"
    assert legend == f"{letter} {exit_type or 'end not seen'} 1"


def test_a_job_shorter_than_a_column_is_a_point() -> None:
    row, *_ = drawn(job(0, 0, 1), job(0, 1_000, 1_000, "NOT_SCHEDULED"))
    assert row == "0 a |" + " " * 17 + "N"


def test_a_letter_is_not_drawn_over_by_the_next_job() -> None:
    row, *_ = drawn(job(0, 0, 500, "EXIT_CRITICAL"), job(0, 500, 1_000))
    assert row == "0 a [========C========]"


def test_a_job_without_a_start_is_drawn_at_its_end() -> None:
    row, *_ = drawn(job(0, None, 0), job(0, 18, None, None))
    assert row == "0 a |" + " " * 17 + "?"


def test_the_axis_counts_from_the_origin_in_round_steps() -> None:
    _, axis, numbers, _ = drawn(job(0, 1_095, 1_270), width=64, origin=1_000)
    assert numbers.split() == ["100", "150", "200", "250", "ms"]
    assert [column for column, stroke in enumerate(axis) if stroke == "+"] == [
        numbers.index(number) for number in ("100", "150", "200", "250")
    ]


def test_no_job_gives_no_line() -> None:
    assert drawn() == []


TIMES = st.integers(0, 2**64 - 1) | st.none()


@given(
    st.lists(st.builds(job, st.integers(-1, 3), TIMES, TIMES, st.sampled_from(["EXIT", "X", None]))),
    st.integers(1, 200),
)
def test_whatever_boards_say_a_chart_is_no_wider_than_asked(jobs: list[JobRow], width: int) -> None:
    for line in drawn(*jobs, width=width)[:-1]:
        assert len(line) <= max(width, 16)


def test_jobs_across_the_end_of_the_clock_stay_in_order_and_begin_at_0() -> None:
    end = 2**32
    later, first, ended = job(0, 40, 60), job(0, end - 100, end - 50), job(1, None, 10)
    origin, placed = _placed([later, first, ended])
    assert origin == end - 100
    assert [(one.release_ms, one.end_ms) for one in placed] == [(0, 50), (None, 110), (140, 160)]
