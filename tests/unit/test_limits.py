"""How much of what is no event is kept, and that limits which let nothing through cannot be set."""

import pytest

from taskgen.boards.limits import Allowance, Limits
from taskgen.errors import SettingsError


def test_all_is_kept_up_to_the_number_of_pieces() -> None:
    allowance = Allowance(Limits(quarantined_pieces=3))
    assert [allowance.take(b"1234") for _ in range(3)] == [True] * 3
    assert allowance.reason == allowance.remainder == ""
    assert [allowance.take(b"1234") for _ in range(2)] == [False] * 2
    assert allowance.reason == "the board sent more than 3 pieces or 16,777,216 bytes that are not events"
    assert allowance.remainder == "2 more pieces of 8 bytes were counted but not kept"


def test_the_piece_that_reaches_the_number_of_bytes_is_kept_whole_however_large_it_is() -> None:
    allowance = Allowance(Limits(quarantined_bytes=10))
    assert [allowance.take(data) for data in (b"123456789", b"1" * 100, b"", b"1")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("wrong", [{"frame_bytes": 0}, {"quarantined_pieces": 0}, {"quarantined_bytes": -1}])
def test_a_limit_that_lets_nothing_through_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Limits(**wrong)
