"""Events as columns are the same events: what is made of dictionaries gives these dictionaries back."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import AfterValidator, TypeAdapter, ValidationError

from taskgen.boards.profile import are_valid_events
from taskgen.event_columns import EventColumns, ProfileOfRun

Profiles = list[ProfileOfRun]
ADAPTER: TypeAdapter[EventColumns] = TypeAdapter(
    Annotated[EventColumns, AfterValidator(EventColumns.checked)]
)

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)
TIMES = st.sampled_from(["2026-11-25T07:30:10.123456+00:00", "2026-11-25T07:30:11+00:00"])
USUAL = st.builds(
    lambda kind, task_id, time_stamp: {
        "@type": kind,
        "@task-id": str(task_id),
        "@time-stamp": str(time_stamp),
    },
    st.sampled_from(["START", "EXIT", "JOBS_DONE"]),
    st.integers(0, 7),
    st.integers(0, 2**64 - 1),
)
NUMBERS = st.sampled_from(["0", "007", "-1", "-0", "999999999999999999", "18446744073709551615"])
ODD = st.builds(
    lambda first, more: {**first, **more},
    st.builds(
        lambda kind, task_id, time_stamp: {"@time-stamp": time_stamp, "@task-id": task_id, "@type": kind},
        TEXT.filter(bool),
        NUMBERS,
        NUMBERS,
    ),
    st.dictionaries(st.sampled_from(["@cpu", "#text", "task"]), TEXT, max_size=2),
).filter(lambda event: are_valid_events({"profile": {"events": {"event": [event]}}}))


@st.composite
def profiles(draw: st.DrawFn) -> Profiles:
    """Consecutive profiles, some of them empty, some with more than events."""
    seq = draw(st.sampled_from([0, 1, 2**40]))
    made: Profiles = []
    for events in draw(st.lists(st.lists(st.one_of(USUAL, ODD), max_size=4), min_size=1, max_size=6)):
        beside = draw(st.dictionaries(st.sampled_from(["@id", "live"]), TEXT, max_size=1))
        inside = draw(st.dictionaries(st.just("@n"), TEXT, max_size=1))
        profile = {"profile": {**beside, "events": {**inside, "event": events}}}
        made.append(ProfileOfRun(seq, draw(TIMES), profile))
        seq += len(events)
    return made


def dumped(columns: EventColumns) -> EventColumns:
    return ADAPTER.validate_json(ADAPTER.dump_json(columns))


@given(profiles())
def test_columns_give_back_the_profiles_they_were_made_of_also_by_way_of_json(
    given_profiles: Profiles,
) -> None:
    columns = EventColumns.of(given_profiles)
    assert list(columns.profiles()) == given_profiles
    assert dumped(columns) == columns
    assert list(dumped(columns).profiles()) == given_profiles
    keys = [list(event) for one in given_profiles for event in one.events]
    back = [list(event) for one in columns.profiles() for event in one.events]
    unusual = [keys[place] for place in columns.unusual]
    assert [back[place] for place in columns.unusual] == unusual


@given(profiles(), st.data())
def test_parts_have_all_events_and_profiles_once(given_profiles: Profiles, data: st.DataObject) -> None:
    columns = EventColumns.of(given_profiles)
    assume(len(columns) > 1)
    middle = data.draw(st.integers(1, len(columns) - 1))
    kept = [dumped(columns.part(0, middle)), dumped(columns.part(middle, len(columns)))]
    assert sum(len(part) for part in kept) == len(columns)
    assert [seq for part in kept for seq in (part.first_seq, part.next_seq)][-1] == columns.next_seq
    events = [event for part in kept for one in part.profiles() for event in one.events]
    assert events == [event for one in given_profiles for event in one.events]
    assert [time for part in kept for time in part.received()] == columns.received()
    assert sum(len(part.shells) for part in kept) == len(columns.shells)


USUAL_COLUMNS: dict[str, Any] = {
    "types": ["START", "EXIT"],
    "task_ids": [0, 0],
    "time_stamps": [1, 2],
    "frames": [[5, "now"], [6, "now"]],
}
ODD_EVENT = {"@type": "EXIT", "@task-id": "0", "@time-stamp": "2", "@cpu": "7"}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"types": ["START"]}, "different lengths"),
        ({"frames": []}, "at least 1"),
        ({"frames": [[5, "now"], [8, "now"]]}, "frames out of order"),
        ({"frames": [[5, "now"], [4, "now"]]}, "frames out of order"),
        ({"time_stamps": [1, 2**64]}, "less than"),
        ({"time_stamps": [1, -1]}, "greater than"),
        ({"types": ["START", ""]}, "empty or has several lines"),
        ({"types": ["START", "two\nlines"]}, "empty or has several lines"),
        ({"unusual": {"2": ODD_EVENT}}, "in no column"),
        ({"unusual": {"0": ODD_EVENT}}, "differs from its columns"),
        ({"unusual": {"1": {}}}, "differs from its columns"),
        ({"shells": {"0": {"profile": {"events": {"event": [ODD_EVENT]}}}}}, "without a list"),
        ({"shells": {"2": {"profile": {"events": {"event": []}}}}}, "without a list"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(wrong: dict[str, Any], reason: str) -> None:
    ADAPTER.validate_python(USUAL_COLUMNS | {"unusual": {"1": ODD_EVENT}})
    with pytest.raises(ValidationError, match=reason):
        ADAPTER.validate_python(USUAL_COLUMNS | wrong)
