"""The outbox: what is written stays until it is removed, whoever dies, and a bad file harms nobody."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sqlite3
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from taskgen.amqp.outbox import Changes, Entry, OpenRun, Outbox, Stored
from taskgen.errors import SettingsError, StoreUnavailableError

LARGE = 10**6
MIB = 1024 * 1024


def entry(number: int, size: int = 10) -> Entry:
    return Entry("events.board", f"id-{number}", bytes(size))


def left_behind(folder: Path, changes: Changes) -> None:
    """What a process leaves that was killed: its file, and no lock."""
    dead = Outbox(folder, 1024 * MIB)
    dead.write(changes)
    dead._lock.close()
    dead._database.close()


def test_messages_are_there_in_their_order_until_they_are_removed(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(Changes([entry(1), entry(2)]))
        outbox.write(Changes([entry(3)]))
        assert [one.entry for one in outbox.first(2)] == [entry(1), entry(2)]
        outbox.remove(outbox.first(2))
        assert [one.entry for one in outbox.first(9)] == [entry(3)]
        assert outbox.depth == 1


def test_no_more_bytes_are_taken_at_once_than_asked_for_but_one_message_always_is(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(Changes([entry(1, 30), entry(2, 10), entry(3, 10), entry(4, 10)]))
        assert [one.id for one in outbox.first(9, max_bytes=20)] == [1]
        assert [one.id for one in outbox.first(9, max_bytes=20, after=1)] == [2, 3]


def test_kinds_of_messages_can_be_left_out_and_asked_for(tmp_path: Path) -> None:
    entries = [
        Entry(key, key, b"") for key in ("events.a", "eventsmore.a", "finished.a.b", "events", "events.b")
    ]
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(Changes(entries))
        assert [one.entry.key for one in outbox.first(9, but_not=["events", "no"])] == [
            "eventsmore.a",
            "finished.a.b",
        ]
        assert [one.id for one in outbox.oldest_of(["finished", "eventsmore"])] == [2]
        assert outbox.oldest_of(["quarantined"]) == []


def test_a_full_outbox_takes_nothing_until_there_is_room(tmp_path: Path) -> None:
    with Outbox(tmp_path, 100) as outbox:
        outbox.write(Changes([entry(1, 80)]))
        with pytest.raises(StoreUnavailableError, match="limit is 100"):
            outbox.write(Changes([entry(2, 30)]))
        outbox.remove(outbox.first(1))
        outbox.write(Changes([entry(2, 30)]))
        assert [one.entry.message_id for one in outbox.first(9)] == ["id-2"]


def test_what_a_killed_process_left_is_adopted_with_its_open_runs(tmp_path: Path) -> None:
    run, ended = OpenRun("r", "{}", 7), OpenRun("e", "{}", 1)
    left_behind(tmp_path, Changes([entry(1)], {"r": run, "e": ended}, set()))
    left_behind(tmp_path, Changes([entry(2)]))
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(Changes([entry(3)]))
        assert {one.run_id: one for one in outbox.adopt()} == {"r": run, "e": ended}
        assert {one.entry.message_id for one in outbox.first(9)} == {"id-1", "id-2", "id-3"}
        assert outbox.adopt() == []
        assert len(list(tmp_path.glob("*.db"))) == 1


def test_what_is_adopted_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    left_behind(tmp_path, Changes([entry(number, MIB // 4) for number in range(256)]))
    with Outbox(tmp_path, LARGE) as outbox:
        tracemalloc.start()
        try:
            outbox.adopt()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert outbox.depth == 256
        assert peak < 24 * MIB


class Dying(Outbox):
    """The outbox of a process that is killed when it has copied a second piece, and not deleted it."""

    def _append(self, piece: Sequence[Stored]) -> None:
        super()._append(piece)
        if self.depth > len(piece):
            os.kill(os.getpid(), signal.SIGKILL)


def die_adopting(folder: Path) -> None:
    Dying(folder, LARGE).adopt()


def test_who_is_killed_while_it_adopts_loses_nothing_and_leaves_all_in_its_order(tmp_path: Path) -> None:
    run = OpenRun("r", "{}", 7)
    left_behind(tmp_path, Changes([entry(number, MIB) for number in range(30)], {"r": run}))
    killed = multiprocessing.get_context("spawn").Process(target=die_adopting, args=(tmp_path,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    with Outbox(tmp_path, LARGE) as outbox:
        assert outbox.adopt() == [run]
        found = [one.entry.message_id for one in outbox.first(99, max_bytes=99 * MIB)]
        assert list(dict.fromkeys(found)) == [f"id-{number}" for number in range(30)]
        assert len(found) == 30 + 8, "what was copied and not deleted is there twice"
        assert len(list(tmp_path.glob("*.db"))) == 1


def test_of_a_file_that_cannot_be_changed_nothing_is_copied_again_and_again(tmp_path: Path) -> None:
    left_behind(tmp_path, Changes([entry(1)]))
    (path,) = tmp_path.glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TRIGGER t BEFORE DELETE ON messages BEGIN SELECT RAISE(ABORT, 'never'); END")
    with Outbox(tmp_path, LARGE) as outbox:
        assert outbox.adopt() == outbox.adopt() == []
        assert outbox.depth == 0
    assert path.exists()


def test_the_outbox_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE) as first, Outbox(tmp_path, LARGE) as second:
        first.write(Changes([entry(1)], {"r": OpenRun("r", "{}", 1)}))
        assert second.adopt() == []
        assert (first.depth, second.depth) == (1, 0)


def test_an_empty_outbox_leaves_no_file_and_one_with_messages_does(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(Changes([entry(1)]))
    assert len(list(tmp_path.glob("*.db"))) == 1


def test_a_file_that_cannot_be_read_stays_and_keeps_nobody_from_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "outbox-0.db"
    damaged.write_bytes(b"no database at all" * 100)
    left_behind(tmp_path, Changes([entry(1)], {"r": OpenRun("r", "{}", 1)}))
    with Outbox(tmp_path, LARGE) as outbox, caplog.at_level(logging.ERROR):
        assert [one.run_id for one in outbox.adopt()] == ["r"]
        assert outbox.depth == 1
    assert damaged.read_bytes() == b"no database at all" * 100
    assert "outbox-0.db is left as it is" in caplog.text


def test_a_folder_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="TASKGEN_OUTBOX_PATH"):
        Outbox(tmp_path / "file" / "outbox", LARGE)
