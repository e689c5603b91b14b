"""What holds for the events in every store: what was given is there, once and unchanged."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import xmltodict
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgen.boards.profile import read_profile
from taskgen.errors import StoreError
from taskgen.event import Quarantined
from taskgen.events.verify import compare
from tests.support.profiles import event, profile_of
from tests.support.store_events import Store, end_run, give, stored, stored_run, taskset

_ATTEMPTS = settings(max_examples=40, deadline=None, database=None)

_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
_attributes = st.dictionaries(_names.map(lambda name: f"@{name}"), _texts, max_size=3)
_tasks = st.lists(_attributes.filter(bool), min_size=2, max_size=4) | _attributes.filter(bool)
_numbers = st.integers(0, 2**64 - 1).map(str) | st.sampled_from(["007", "00", str(2**63), str(2**64 - 1)])
_types = st.sampled_from(["START", "EXIT", "EXTERNAL", 'NEW, "TYPE"']) | st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8
)
_events = st.builds(
    lambda more, known, tasks: more | known | ({"task": tasks} if tasks else {}),
    _attributes,
    st.fixed_dictionaries(
        {"@type": _types, "@task-id": st.integers(-1, 2**31).map(str), "@time-stamp": _numbers}
    ),
    st.none() | _tasks,
)


class EventsContract:
    """The tests; a class that derives from it gives the store."""

    def test_what_was_given_is_there_after_each_call(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, 1))
            assert stored(store, tasks) == [event("START", 0, 1)]
            give(handler, tasks, 1, event("EXIT", 0, 2), event("START", 0, 3))
            assert stored(store, tasks) == [event("START", 0, 1), event("EXIT", 0, 2), event("START", 0, 3)]

    def test_the_handler_decides_as_the_default_handler_does(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            assert give(handler, tasks, 0, event("START", 1, 1), event("EXIT", 1, 2))
            assert not give(handler, tasks, 2, event("JOBS_DONE", 0, 3))
        assert [job.response_ms for task in tasks for job in task.jobs] == [1]

    def test_an_event_given_twice_is_there_once(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            for first_seq in (0, 0, 2, 1, 2):
                give(handler, tasks, first_seq, *(event("X", 0, first_seq + n) for n in range(2)))
        assert stored(store, tasks) == [event("X", 0, n) for n in range(4)]

    def test_an_event_given_to_two_lives_of_the_store_is_there_once(self, store: Store) -> None:
        tasks = taskset()
        for first_seq in (0, 3, 2, 0):
            with store.make() as handler:
                give(handler, tasks, first_seq, *(event("X", 0, first_seq + n) for n in range(3)))
        assert stored(store, tasks) == [event("X", 0, n) for n in range(6)]

    def test_a_batch_is_stored_by_its_commit_and_forgotten_when_abandoned(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            handler.begin()
            give(handler, tasks, 0, event("X", 0, 1))
            give(handler, tasks, 1, event("X", 0, 2))
            assert stored(store, tasks) == []
            handler.commit()
            assert len(stored(store, tasks)) == 2
            handler.begin()
            give(handler, tasks, 2, event("X", 0, 3))
            handler.abandon()
            handler.begin()
            handler.commit()
        assert len(stored(store, tasks)) == 2

    def test_a_run_that_a_batch_was_given_up_of_has_no_gap(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            handler.__taskset_start__(tasks)
            for first_seq in range(0, 8, 2):
                handler.begin()
                give(handler, tasks, first_seq, event("X", 0, 1), event("X", 0, 2))
                if first_seq == 4:
                    handler.give_up("the disk was full")
                else:
                    handler.commit()
            end_run(handler, tasks, 8)
        assert len(stored(store, tasks)) == 4
        with closing(store.read()) as reader:
            if not reader.knows_ends:
                return
            assert (list(compare([reader]).findings), compare([reader]).ended) == ([], 1)
        assert stored_run(store, tasks).events == 4
        assert "the last 4 of its 8 events could not be stored: the disk" in stored_run(store, tasks).reason

    def test_closing_stores_what_was_collected(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            handler.begin()
            give(handler, tasks, 0, event("X", 0, 1))
        handler.close()
        assert len(stored(store, tasks)) == 1

    def test_a_closed_store_says_so(self, store: Store) -> None:
        handler = store.make()
        handler.close()
        with pytest.raises(StoreError, match="closed"):
            give(handler, taskset(), 0, event("X", 0, 1))

    def test_any_events_survive_xml_store_and_reading(self, store: Store) -> None:
        @_ATTEMPTS
        @given(st.lists(_events, min_size=1, max_size=5))
        def survives(events: list[dict[str, Any]]) -> None:
            document = xmltodict.unparse({"profile": {"events": {"event": events}}}, full_document=False)
            parsed, rejected = read_profile(document.encode())
            assert (parsed, rejected) == (profile_of(*events), [])
            tasks = taskset()
            with store.make() as handler:
                handler.__taskset_event__(tasks, parsed)
            assert stored(store, tasks) == events

        survives()

    def test_line_breaks_and_foreign_letters_survive(self, store: Store) -> None:
        tasks = taskset()
        events = [
            event("A\r\nB", 0, 1, note={"#text": "one\r\ntwo\n", "@x": "\u20ac\u2028 \t\U0001f600"}),
            event(" \n", 0, 2),
            event("\u20ac", 0, 3),
        ]
        with store.make() as handler:
            give(handler, tasks, 0, *events)
        assert stored(store, tasks) == events

    def test_an_event_as_large_as_a_frame_survives(self, store: Store) -> None:
        tasks = taskset()
        large = event("X", 0, 1, **{"@blob": "y" * 1_000_000})
        with store.make() as handler:
            give(handler, tasks, 0, large)
        with store.make() as handler:
            give(handler, tasks, 1, event("X", 0, 2))
        assert stored(store, tasks) == [large, event("X", 0, 2)]

    def test_quarantined_bytes_are_kept_once(self, store: Store) -> None:
        with_run = Quarantined("not\nXML", bytes(range(256)), "127.0.10.1:3001", "2024-01-01", "a run")
        without = Quarantined("too large", b"", "127.0.10.2:3001", "2024-01-02")
        with store.make() as handler:
            handler.__taskset_quarantine__(None, with_run)
            handler.__taskset_quarantine__(None, without)
            handler.__taskset_quarantine__(None, without)
        with store.make() as handler:
            handler.__taskset_quarantine__(None, with_run)
        with closing(store.read()) as reader:
            found = sorted(reader.quarantined(), key=lambda one: one.received_at)
        assert found == [replace(with_run, reason="not XML"), without]
