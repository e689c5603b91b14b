"""Where time stamps are in a trace."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

from taskgen.metrics import distance_ms
from taskgen.results.trace import _Board
from taskgen.results.trace_packets import open_trace

BITS = st.sampled_from([32, 64])
DAYS_24_MS = 2**31 - 1


@given(BITS, st.data())
def test_the_distance_of_two_time_stamps_is_correct_across_the_end_of_the_clock(
    bits: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(max(0, (1 << bits) - 2 * DAYS_24_MS), (1 << bits) - 1))
    passed = data.draw(st.integers(0, DAYS_24_MS))
    end = (start + passed) % (1 << bits)
    assert distance_ms(start, end) == passed
    assert distance_ms(end, start) == -passed


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=5), max_size=5))
def test_runs_never_overlap_and_hold_their_times_whatever_a_board_s_clock_says(runs: list[list[int]]) -> None:
    board = _Board(1)
    end = 0
    for times in runs:
        placed = board.place(iter(times))
        if placed is None:
            assert times == []
            continue
        assert end <= placed.span_ms[0] <= placed.span_ms[1]
        known = [at for time in times if (at := placed.at(time)) is not None]
        assert all(placed.span_ms[0] <= at <= placed.span_ms[1] for at in known)
        end = placed.span_ms[1]


def test_a_later_run_begins_where_the_board_s_clock_says_and_after_a_reboot_at_once() -> None:
    board = _Board(1)
    spans = [board.place(iter(times)) for times in ([1_000, 1_500], [9_000, 9_100], [3, 50])]
    assert [placed.span_ms for placed in spans if placed] == [(0, 500), (8_000, 8_100), (8_100, 8_147)]


def test_numbers_that_a_trace_cannot_hold_are_kept_as_text_and_times_end_with_it(tmp_path: Path) -> None:
    facts = {
        "large": 2**70,
        "small": -(2**70),
        "least": -(2**63),
        "most": 2**64 - 1,
        "share": 0.5,
        "many": [1, 2],
    }
    with open_trace(tmp_path / "t.pftrace") as packets:
        packets.instant(packets.process("board"), 2**60, "job", "EXIT", facts)
    read = Trace.FromString((tmp_path / "t.pftrace").read_bytes()).packet[-1]
    assert 2**62 < read.timestamp <= 2**63
    found = [one.WhichOneof("value") for one in read.track_event.debug_annotations]
    values = [getattr(one, one.WhichOneof("value")) for one in read.track_event.debug_annotations]
    assert values == [str(2**70), str(-(2**70)), -(2**63), 2**64 - 1, 0.5, "[1, 2]"]
    assert found == [
        "string_value",
        "string_value",
        "int_value",
        "uint_value",
        "double_value",
        "string_value",
    ]
