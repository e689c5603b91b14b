"""What a figure's parts are made from."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.results.figures import _bin_edges


@given(st.integers(0, 10_000), st.integers(0, 5_000_000))
def test_bins_hold_all_response_times_and_equally_many_milliseconds_each(least: int, span: int) -> None:
    edges = _bin_edges(least, least + span)
    widths = {after - before for before, after in pairwise(edges)}
    assert len(widths) == 1
    assert widths.pop().is_integer()
    assert edges[0] == least - 0.5
    assert edges[-2] < least + span < edges[-1]
    assert 2 <= len(edges) <= 41


@pytest.mark.parametrize(("least", "most", "bins"), [(7, 7, 1), (2, 4, 3), (0, 39, 40), (0, 40, 21)])
def test_few_milliseconds_have_a_bin_each(least: int, most: int, bins: int) -> None:
    assert len(_bin_edges(least, most)) == bins + 1
