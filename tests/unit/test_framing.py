"""The board's byte stream: any split of it, and any silence in it, gives the same frames and answers."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskgen.boards.limits import Limits
from taskgen.boards.taskloader_protocol import WORD, Answer, Deframer, Item, MisreadAnswer

_MAX = Limits().frame_bytes
_GO_SEND_SIZE, _AVAILABLE_SIZE = int(Answer.GO_SEND), int(Answer.AVAILABLE)


def frame(size: int, start: bytes = b"<profile>") -> bytes:
    return (start + b"x" * size)[:size]


def wire(items: Sequence[bytes | Answer]) -> bytes:
    return b"".join(
        WORD.pack(item) if isinstance(item, Answer) else WORD.pack(len(item)) + item for item in items
    )


def as_meant(items: Sequence[Item]) -> list[bytes | Answer]:
    """What is left when what was taken back is gone."""
    left: list[bytes | Answer] = []
    for item in items:
        if isinstance(item, MisreadAnswer):
            del left[len(left) - 1 - left[::-1].index(item.answer)]
        else:
            left.append(item)
    return left


def received(items: Sequence[bytes | Answer], cuts: Sequence[int], silences: Sequence[bool]) -> list[Item]:
    return received_of(wire(items), [item for item in items if isinstance(item, Answer)], cuts, silences)


def received_of(
    data: bytes, awaited: Sequence[Answer], cuts: Sequence[int], silences: Sequence[bool]
) -> list[Item]:
    """Feed the stream in pieces; a silence after a piece resolves an ambiguity."""
    deframer = Deframer(_MAX)
    for answer in awaited:
        deframer.expect(answer)
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    got: list[Item] = []
    for number, (begin, end) in enumerate(itertools.pairwise(places)):
        got += deframer.feed(data[begin:end])
        is_silent = end == len(data) or silences[number % len(silences)]
        if is_silent and (settled := deframer.resolve_ambiguity()) is not None:
            got.append(settled)
    assert not deframer.is_incomplete
    assert deframer.error is None
    return got


_frames = st.builds(
    frame,
    st.sampled_from([0, 1, 3, 4, 5, 17, 143, _GO_SEND_SIZE, 145]) | st.integers(0, 300),
    st.sampled_from([b"<profile>", b"\n\t <profile>", b" \r\n\n<p>"]),
)
_large = st.just(frame(_AVAILABLE_SIZE))
_items = st.lists(_frames | st.sampled_from(list(Answer)), max_size=8)
_cuts = st.lists(st.integers(0, 2**20), max_size=24)
_silences = st.lists(st.booleans(), min_size=1, max_size=8)


@given(_items, _cuts, _silences)
@example([frame(144), Answer.GO_SEND, frame(144)], [4, 148, 152, 156], [True])
@example([Answer.GO_SEND, frame(144)], [4, 8], [True])
@settings(max_examples=400, deadline=None)
def test_any_split_and_any_silence_give_the_same_items(
    items: list[bytes | Answer], cuts: list[int], silences: list[bool]
) -> None:
    assert as_meant(received(items, cuts, silences)) == items


@given(st.lists(_frames, max_size=8), _cuts, _silences)
@settings(max_examples=200, deadline=None)
def test_frames_are_frames_where_no_answer_is_awaited(
    items: list[bytes], cuts: list[int], silences: list[bool]
) -> None:
    assert received(items, cuts, silences) == items


@given(
    st.permutations([Answer.AVAILABLE, Answer.GO_SEND, frame(144), b"<live/>"]), _cuts, _silences, st.data()
)
@settings(max_examples=30, deadline=None)
def test_a_frame_of_the_size_that_available_has_as_a_number_is_a_frame(
    items: list[bytes | Answer], cuts: list[int], silences: list[bool], data: st.DataObject
) -> None:
    items.insert(data.draw(st.integers(0, len(items))), frame(_AVAILABLE_SIZE))
    assert as_meant(received(items, cuts, silences)) == items


@given(_items, _cuts, st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_an_answer_that_is_forgotten_or_comes_late_costs_no_frame(
    items: list[bytes | Answer], cuts: list[int], more: int
) -> None:
    """More answers may be awaited than come: those of a board that is too old to give them."""
    deframer = Deframer(_MAX)
    for answer in [*Answer, *(item for item in items if isinstance(item, Answer))]:
        deframer.expect(answer)
    data = wire([*items, frame(more)])
    assert as_meant(deframer.feed(data)) == [*items, frame(more)]


@given(
    st.lists(_frames, max_size=4),
    _frames.filter(lambda body: len(body) >= WORD.size) | _large,
    st.sampled_from(list(Answer)),
    st.lists(_frames, max_size=4),
    _cuts,
    _silences,
)
@example([], frame(144), Answer.GO_SEND, [], [4, 8], [True])
@example([frame(144)], frame(_AVAILABLE_SIZE), Answer.AVAILABLE, [], [4, 8], [False])
@settings(max_examples=300, deadline=None)
def test_an_answer_between_the_size_and_the_body_of_a_frame_costs_neither(
    before: list[bytes],
    within: bytes,
    answer: Answer,
    after: list[bytes],
    cuts: list[int],
    silences: list[bool],
) -> None:
    """Boards do not lock their socket."""
    data = wire(before) + WORD.pack(len(within)) + WORD.pack(answer) + within + wire(after)
    got = as_meant(received_of(data, [answer], cuts, silences))
    assert [item for item in got if isinstance(item, bytes)] == [*before, within, *after]
    assert [item for item in got if isinstance(item, Answer)] == [answer]


def test_a_body_may_begin_as_an_answer_that_is_not_awaited() -> None:
    rubbish = WORD.pack(Answer.AVAILABLE) + b"rubbish"
    assert Deframer(_MAX).feed(wire([rubbish])) == [rubbish]


def test_an_answer_is_given_once_it_stands_alone_for_a_while() -> None:
    deframer = Deframer(_MAX)
    deframer.expect(Answer.GO_SEND)
    assert deframer.feed(WORD.pack(Answer.GO_SEND)) == []
    assert deframer.is_ambiguous
    assert deframer.resolve_ambiguity() is Answer.GO_SEND
    assert not deframer.is_incomplete
    assert deframer.resolve_ambiguity() is None


def test_a_settled_answer_that_text_follows_is_taken_back_and_awaited_again() -> None:
    deframer = Deframer(_MAX)
    deframer.expect(Answer.GO_SEND)
    deframer.feed(WORD.pack(Answer.GO_SEND))
    deframer.resolve_ambiguity()
    assert deframer.feed(b"<pr") == []
    assert deframer.feed(frame(144)[3:]) == [MisreadAnswer(Answer.GO_SEND), frame(144)]
    deframer.feed(WORD.pack(Answer.GO_SEND))
    assert deframer.resolve_ambiguity() is Answer.GO_SEND


def test_text_for_a_size_takes_no_answer_back_once_a_frame_has_followed_it() -> None:
    deframer = Deframer(_MAX)
    deframer.expect(Answer.GO_SEND)
    deframer.feed(WORD.pack(Answer.GO_SEND))
    deframer.resolve_ambiguity()
    assert deframer.feed(wire([frame(20)])) == [frame(20)]
    assert deframer.feed(b"<profile>") == []
    assert deframer.error is not None


def test_nothing_is_undecided_where_no_answer_is_awaited() -> None:
    deframer = Deframer(_MAX)
    deframer.feed(WORD.pack(Answer.GO_SEND))
    assert not deframer.is_ambiguous
    assert deframer.resolve_ambiguity() is None
    assert deframer.is_incomplete


@pytest.mark.parametrize("size", [_MAX + 1, 0xFFFFFFFF])
def test_a_size_over_the_limit_ends_the_stream_and_what_came_before_is_kept(size: int) -> None:
    deframer = Deframer(_MAX)
    assert deframer.feed(wire([b"<a/>"]) + WORD.pack(size)) == [b"<a/>"]
    assert str(size) in str(deframer.error)
    assert deframer.error is not None
    assert deframer.error.data == WORD.pack(size)
    assert deframer.feed(b"<profile/>" * 100) == []


def test_a_frame_of_the_largest_size_is_taken() -> None:
    deframer = Deframer(1000)
    assert deframer.feed(wire([frame(1000)])) == [frame(1000)]
    assert deframer.error is None


@given(st.binary(max_size=2000), _cuts)
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all_end_in_frames_an_error_or_a_wait(data: bytes, cuts: list[int]) -> None:
    deframer = Deframer(_MAX)
    for answer in Answer:
        deframer.expect(answer)
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for begin, end in itertools.pairwise(places):
        deframer.feed(data[begin:end])
        deframer.resolve_ambiguity()
