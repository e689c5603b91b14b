"""What a figure's parts are made from."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.results.figures import _bin_edges, _distribution
from taskgen.results.statistics import TaskStatistics
from taskgen.run import parameter_text


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


def test_the_distributions_of_variants_with_long_parameters_can_be_told_apart() -> None:
    variants: list[dict[str, object]] = [
        {"task1.config.argument_one": one, "task2.config.argument_two": 7} for one in (1, 2, 3)
    ]
    statistics = [
        TaskStatistics("", parameter_text(one), 0, "hey", responses_ms=[5, 6], parameters=one)
        for one in variants
    ]
    legend = _distribution(statistics).axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["1, 7", "2, 7", "3, 7"]
    assert legend.get_title().get_text() == "task1.config.argument_one,\ntask2.config.argument_two"
