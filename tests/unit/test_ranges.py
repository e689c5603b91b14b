"""A set kept as ranges is a set."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from taskgen.events.ranges import Ranges


@settings(deadline=None, database=None)
@given(st.lists(st.integers(0, 12), max_size=30))
def test_ranges_are_a_set_in_as_few_ranges_as_can_be(numbers: list[int]) -> None:
    ranges, numbers_seen = Ranges(), set[int]()
    for number in numbers:
        assert ranges.add(number) == (number not in numbers_seen)
        numbers_seen.add(number)
        found = list(ranges)
        assert [n for first, end in found for n in range(first, end)] == sorted(numbers_seen)
        assert all(end < first for (_, end), (first, _) in pairwise(found))


def test_numbers_in_their_order_are_one_range() -> None:
    ranges = Ranges([(0, 5)])
    for number in range(5, 10):
        ranges.add(number)
    assert list(ranges) == [(0, 10)]
    assert (ranges.first, ranges.end) == (0, 10)
