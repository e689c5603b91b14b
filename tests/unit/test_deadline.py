"""One deadline is shared by all parts of an end: what one leaves is the next one's, and never more."""

import math

import pytest

from taskgen.backoff import Patience
from taskgen.deadline import Deadline


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved by the test."""
    time = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: time[0])
    return time


def test_a_deadline_comes_nearer_and_stays_where_it_was(clock: list[float]) -> None:
    deadline = Deadline(10)
    assert deadline.left_s == 10
    clock[0] += 4
    assert deadline.left_s == 6
    clock[0] += 7
    assert deadline.left_s == 0


def test_parts_get_what_is_left_so_together_they_are_never_late(clock: list[float]) -> None:
    deadline = Deadline(16)
    assert deadline.part(1 / 2).left_s == 8
    clock[0] += 2  # the first part needed little
    part = deadline.part(1 / 2)
    assert part.left_s == 7
    clock[0] += 7
    assert part.left_s == 0
    clock[0] += 9  # somebody was late
    assert deadline.part(1 / 2).left_s == 0


def test_patience_is_endless_until_the_process_is_asked_to_end(clock: list[float]) -> None:
    patience = Patience()
    clock[0] += 10**9
    assert not patience.is_over
    assert patience.next_pause_s(math.inf) == math.inf
    patience.end_by(Deadline(2))
    assert not patience.is_over
    assert patience.next_pause_s(math.inf) < 2
    clock[0] += 2
    assert patience.is_over
    assert patience.next_pause_s(math.inf) == 0
