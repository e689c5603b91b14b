"""Fixtures of the tests of several parts together."""

from collections.abc import Iterator

import pytest

from taskgen.simulation import run_boards


@pytest.fixture
def board() -> Iterator[str]:
    """Address of a simulated board."""
    with run_boards(speed=200) as (address,):
        yield address
