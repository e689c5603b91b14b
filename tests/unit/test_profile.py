"""Frames become the dictionary that handlers get; hostile ones are refused, one event never takes others."""

import json
import string
from typing import Any

import pytest
import xmltodict
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskgen.boards.limits import Limits
from taskgen.boards.profile import read_profile
from taskgen.errors import ProfileError, SettingsError

_START = {"@type": "START", "@task-id": "0", "@time-stamp": "276427"}
_EXIT = {"@type": "EXIT", "@task-id": "0", "@time-stamp": "277087"}
_START_XML = b'<event type="START" task-id="0" time-stamp="276427"/>'
_EXIT_XML = b'<event type="EXIT" task-id="0" time-stamp="277087"/>'


def frame(*events: bytes) -> bytes:
    return b"<profile>\n\t<events>\n" + b"\n".join(events) + b"\n\t</events>\n</profile>\n\0"


def events_of(document: bytes, limits: Limits | None = None) -> list[dict[str, Any]]:
    profile, rejected = read_profile(document, limits or Limits())
    assert rejected == []
    found: list[dict[str, Any]] = profile["profile"]["events"]["event"]
    return found


@pytest.mark.parametrize(
    ("document", "events"),
    [
        (frame(_START_XML, _EXIT_XML), [_START, _EXIT]),
        (frame(_START_XML), [_START]),
        (frame(), []),
        (b"<profile><events/></profile>", []),
        (b"<profile></profile>", []),
        (b"<profile/>\0\0", []),
        (b"<profile/>\0" + frame(_START_XML)[11:], []),
        (b"<profile/>\n\0" + frame(_START_XML)[12:] + frame(_EXIT_XML), []),
        (b" \n\t" + frame(_EXIT_XML), [_EXIT]),
        (frame(_START_XML) + b"\0" * 1000, [_START]),
        (frame(_START_XML) + frame(_EXIT_XML), [_START]),
        (frame(_START_XML)[:-1] + b'sk-id="3" time-stamp="276427"/>\n\t</events>\n</profile>\n\0', [_START]),
        (frame(_START_XML) + b"\xff\xfe\0\x80", [_START]),
        (b'<?xml version="1.0" encoding="utf-8"?>' + frame(_EXIT_XML), [_EXIT]),
        (
            b"<profile><events>" + _START_XML + b"</events><events>" + _EXIT_XML + b"</events></profile>",
            [_START, _EXIT],
        ),
    ],
)
def test_every_form_that_boards_send_gives_a_list_of_events(document: bytes, events: list[Any]) -> None:
    assert events_of(document) == events


def test_what_stands_beside_the_events_is_kept() -> None:
    document = (
        b'<profile x="1"><task-descriptions><task id="0"/></task-descriptions><events>%s</events></profile>'
    )
    profile, _ = read_profile(document % _START_XML)
    assert profile == {
        "profile": {
            "@x": "1",
            "task-descriptions": {"task": {"@id": "0"}},
            "events": {"event": [_START]},
        }
    }


def test_more_attributes_and_children_of_an_event_are_kept() -> None:
    tasks = b'<task id="0" state="running"/><task id="1"/>'
    event = b'<event type="EXTERNAL" task-id="-1" time-stamp="5" ram="7">' + tasks + b"</event>"
    assert events_of(frame(event)) == [
        {
            "@type": "EXTERNAL",
            "@task-id": "-1",
            "@time-stamp": "5",
            "@ram": "7",
            "task": [{"@id": "0", "@state": "running"}, {"@id": "1"}],
        }
    ]


@pytest.mark.parametrize("stamp", ["0", str(2**32), str(2**63), str(2**64 - 1), "007"])
def test_time_stamps_have_64_bits(stamp: str) -> None:
    event = _START_XML.replace(b"276427", stamp.encode())
    assert events_of(frame(event)) == [_START | {"@time-stamp": stamp}]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'<event task-id="0" time-stamp="1"/>', "without type"),
        (b'<event type="" task-id="0" time-stamp="1"/>', "without type"),
        (b'<event type="START" time-stamp="1"/>', "without task-id"),
        (b'<event type="START" task-id="0"/>', "without time-stamp"),
        (b'<event type="START" task-id="zero" time-stamp="1"/>', "task-id"),
        (b'<event type="START" task-id="1.5" time-stamp="1"/>', "task-id"),
        (b'<event type="START" task-id="0x1" time-stamp="1"/>', "task-id"),
        (b'<event type="START" task-id=" 1" time-stamp="1"/>', "task-id"),
        (b'<event type="START" task-id="1&#10;" time-stamp="1"/>', "task-id"),
        (b'<event type="START" task-id="%s" time-stamp="1"/>' % (b"9" * 19), "task-id"),
        (b'<event type="START" task-id="&#178;" time-stamp="1"/>', "task-id"),
        (b'<event type="START" task-id="&#1633;" time-stamp="1"/>', "task-id"),
        (b'<event type="START" task-id="0" time-stamp="-1"/>', "time-stamp"),
        (b'<event type="START" task-id="0" time-stamp="%d"/>' % 2**64, "time-stamp"),
        (b'<event type="START" task-id="0" time-stamp="%s"/>' % (b"9" * 5000), "time-stamp"),
        (b'<event type="START" task-id="0" time-stamp="1e3"/>', "time-stamp"),
        (b'<event type="START" task-id="0" time-stamp="&#178;"/>', "time-stamp"),
        (b'<event type="START" task-id="0" time-stamp="&#1633;"/>', "time-stamp"),
        (b"<event/>", "without"),
        (b"<event>START</event>", "without"),
    ],
)
def test_a_broken_event_is_rejected_alone(broken: bytes, reason: str) -> None:
    profile, rejected = read_profile(frame(_START_XML, broken, _EXIT_XML))
    assert profile["profile"]["events"]["event"] == [_START, _EXIT]
    ((given, data),) = rejected
    assert reason in given
    assert xmltodict.parse(data) == xmltodict.parse(broken)


@pytest.mark.parametrize(
    ("within", "lost"),
    [
        (b"<events>rubbish</events>", [b"<events>rubbish</events>"]),
        (b"<events>%s</events>" % (_START_XML + b"rub" + _EXIT_XML + b"bish"), [b"<events>rubbish</events>"]),
        (_START_XML, [b"<profile>%s</profile>" % _START_XML]),
        (
            _START_XML + b"<events/>" + _EXIT_XML,
            [b"<profile>%s</profile>" % (_START_XML + _EXIT_XML)],
        ),
        (b"rubbish", [b"<profile>rubbish</profile>"]),
        (b"rub<events>%s</events>bish" % _EXIT_XML, [b"<profile>rubbish</profile>"]),
        (b"<event/>rubbish", [b"<profile><event/></profile>", b"<profile>rubbish</profile>"]),
        (b"<events>a</events><events>b</events>", [b"<events>a</events>", b"<events>b</events>"]),
        (b'<events x="1">a<b/></events><events/>', [b'<events x="1">a<b/></events>']),
    ],
)
def test_misplaced_content_is_not_lost(within: bytes, lost: list[bytes]) -> None:
    profile, rejected = read_profile(b"<profile>" + within + b"</profile>")
    events = profile["profile"].pop("events")
    assert profile == {"profile": {}}
    assert list(events) == ["event"]
    assert [xmltodict.parse(one.data) for one in rejected] == [xmltodict.parse(one) for one in lost]
    assert all("within <" in one.reason or "outside of <events>" in one.reason for one in rejected)


def test_a_single_broken_event_leaves_an_empty_list() -> None:
    profile, rejected = read_profile(frame(b"<event/>"))
    assert profile == {"profile": {"events": {"event": []}}}
    assert len(rejected) == 1


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "not XML"),
        (b"\0" * 20, "not XML"),
        (b"\x7fELF\x02\x01 <profile <<events>\0", "not XML"),
        (b"<profile><events></profile>", "not XML"),
        (b"<profile>", "not XML"),
        (b"<live>\n</live>\0", "<live>"),
        (frame(b'<event a="1" a="2"/>'), "not XML"),
        (frame(b"<event type='\xc3\xa9'/>"), "not ASCII"),
        (frame(b"<event\0/>"), "not XML"),
        (frame(b"<event type='&entity;'/>"), "not XML"),
        (b'<!DOCTYPE profile [<!ENTITY a "b">]>' + frame(), "DOCTYPE"),
        (b"<!DOCTYPE profile>" + frame(), "DOCTYPE"),
        (b"<profile><![CDATA[</profile>]]></profile>", "<!"),
        (frame(b"<a>" * 40 + b"</a>" * 40), "nested deeper than 32"),
        (frame(b"<a>" * 20_000 + b"</a>" * 20_000), "nested deeper than 32"),
        (frame(b"<a>" * 20_000), "not XML"),
        (frame(b"<a><?x </a ?>" * 2_000 + b"</a>" * 2_000), "processing instruction"),
        (b"<?xml-x" + b" </a >" * 2_000 + b"?>" + frame(b"<a>" * 2_000 + b"</a>" * 2_000), "processing"),
        (b'<?xml version="' + b"</a>" * 99 + b'"?>' + frame(b"<a>" * 99 + b"</a>" * 99), "not XML"),
        (b'<?xml version="1.0"?>' + frame(b"<?x?>"), "processing instruction"),
        (
            frame(b"<event " + b" ".join(b'a%d=""' % n for n in range(129)) + b"/>"),
            "more than 128 attributes",
        ),
        (frame(b"<a/>" * 50_001), "more than 50000 elements"),
        (frame(b" " * 2**20), "over the limit of 1048576"),
    ],
)
def test_a_hostile_frame_is_refused_whole_with_its_reason(document: bytes, reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        read_profile(document)


def test_a_frame_within_the_limits_is_accepted() -> None:
    attributes = b" ".join(b'a%d="%d"' % (n, n) for n in range(125))
    (event,) = events_of(frame(_START_XML.replace(b"/>", b" " + attributes + b"/>")))
    assert len(event) == 128
    nested = b"<a>" * 29 + b"</a>" * 29
    (event,) = events_of(frame(_START_XML.replace(b"/>", b">" + nested + b"</event>")))
    assert "a" in event


def test_brackets_within_attributes_do_not_count_as_nesting() -> None:
    event = b"<event type=\"a>b'c\" task-id='0' time-stamp=\"1\"><t x='>\"'></t></event>"
    assert len(events_of(frame(*[event] * 100))) == 100


def test_nonsensical_limits_are_refused() -> None:
    for size in (0, -1, 2**31):
        with pytest.raises(SettingsError, match="frame_bytes"):
            Limits(frame_bytes=size)


_names = st.text(string.ascii_letters + "_", min_size=1, max_size=4).filter(
    lambda name: name not in ("type", "event")
)
_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
_event = st.builds(
    lambda known, more, tasks: known | more | ({"task": tasks} if len(tasks) > 1 else {}),
    st.fixed_dictionaries(
        {
            "@type": st.sampled_from(["START", "EXIT", "JOBS_DONE", "a<b>&\"'"]),
            "@task-id": st.integers(-1, 2**31).map(str),
            "@time-stamp": st.integers(0, 2**64 - 1).map(str),
        }
    ),
    st.dictionaries(_names.map("@{}".format), _texts, max_size=3),
    st.lists(st.fixed_dictionaries({"@id": st.integers(0, 9).map(str)}), max_size=3),
)


@given(st.lists(_event, max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_events_survive_xml(events: list[dict[str, Any]]) -> None:
    document: str = xmltodict.unparse({"profile": {"events": {"event": events}}}, full_document=False)
    assert events_of(document.encode("ascii") + b"\n\0") == events


@given(st.lists(st.tuples(_event, st.booleans()), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_any_broken_events_leave_the_others_in_their_order(events: list[tuple[dict[str, Any], bool]]) -> None:
    sent = [event if whole else event | {"@time-stamp": "soon"} for event, whole in events]
    document: str = xmltodict.unparse({"profile": {"events": {"event": sent}}}, full_document=False)
    profile, rejected = read_profile(document.encode("ascii"))
    assert profile["profile"]["events"]["event"] == [event for event, whole in events if whole]
    assert len(rejected) == sum(not whole for _, whole in events)


_pieces = st.sampled_from(
    b"<profile>|</profile>|<events>|</events>|<event|/>|>|</event>|<a>|</a>|<a:b/>|text|'|\"|<|\0|&amp;|&#x1;|"
    b' type="START"| task-id="0"| time-stamp="1"| time-stamp="&#178;"| a:b="c"| xmlns="d"|'
    b"<?pi x?>|<?xml version='1.0'?>".split(b"|")
)


@given(st.lists(_pieces, max_size=30).map(b"".join) | st.binary(max_size=200))
@example(b"<profile><events><event><event/></event></events></profile>")
@settings(max_examples=1500, deadline=None)
def test_any_frame_is_accepted_or_refused_and_accepted_ones_can_be_stored(document: bytes) -> None:
    for candidate in (document, b"<profile><events>" + document + b"</events></profile>"):
        try:
            profile, _ = read_profile(candidate)
        except ProfileError:
            continue
        for event in profile["profile"]["events"]["event"]:
            int(event["@task-id"])
            assert 0 <= int(event["@time-stamp"]) < 2**64
            assert event["@type"]
        json.dumps(profile)


@pytest.mark.parametrize(
    "document",
    [
        b"<profile>" + b"<a b='" * 170_000,
        b"<profile>" + b"<a " + b"\"'" * 500_000,
        b"</" * 500_000,
        b"<profile>" + b"</a " * 12_000 + b"</profile>" * 12_000,
        b"<profile>" + (b"<a" + b'"x"' * 300) * 1_000 + b"</" * 100,
    ],
)
def test_no_frame_within_the_size_limit_is_expensive_to_refuse(document: bytes) -> None:
    """Time that grows with the square of the size would be minutes here, and the suite's time limit hit."""
    with pytest.raises(ProfileError):
        read_profile(document[: Limits().frame_bytes])


SPACES = st.sampled_from(["", " ", "\n", "\t\t", "\r\n "])
LINES = st.builds(
    lambda kind, task_id, time_stamp, end: (
        f'<event type="{kind}" task-id="{task_id}" time-stamp="{time_stamp}"{end}'
    ),
    st.sampled_from(["START", "EXIT", "JOBS_DONE", "a-b_9", "", "A B", "&amp;", "\N{SUPERSCRIPT TWO}"]),
    st.sampled_from(["0", "7", "007", "9" * 18, "9" * 19, "-1", "", "x", "\N{SUPERSCRIPT TWO}"]),
    st.sampled_from(["0", "276427", "9" * 18, str(2**64 - 1), str(2**64), ""]),
    st.sampled_from(["/>", "/>", "/>", " />", ' cpu="3"/>', "></event>"]),
)


def outcome(document: bytes, limits: Limits) -> Any:
    try:
        return read_profile(document, limits)
    except ProfileError as error:
        return str(error)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(LINES, SPACES), max_size=5),
    SPACES,
    st.sampled_from(
        ["</events>{}</profile>", "</events>{}</profile>\n\0", "</events>{}", "</events>x{}</profile>"]
    ),
    st.builds(Limits, frame_bytes=st.sampled_from([64, 4096]), elements=st.sampled_from([5, 6, 100])),
)
def test_a_frame_as_boards_write_it_is_read_as_the_parser_reads_it(
    lines: list[tuple[str, str]], space: str, end: str, limits: Limits
) -> None:
    """An XML declaration sends the same document to the parser."""
    events = "".join(line + gap for line, gap in lines)
    text = f"<profile>{space}<events>{space}{events}{end.format(space)}".encode("latin-1")
    declaration = b"<?xml version='1.0'?>"
    parsed = outcome(
        declaration + text, Limits(limits.frame_bytes + len(declaration), elements=limits.elements + 1)
    )
    found = outcome(text, limits)
    if isinstance(found, tuple):
        assert found == parsed
        assert json.dumps(found[0]) == json.dumps(parsed[0])  # in the same order, too
    else:
        assert isinstance(parsed, str)
