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

from services.distributor.outbox import Change, Entry, OpenRun, Outbox, Stored
from taskgen.errors import SettingsError, StoreUnavailableError
from tests.support.outboxes import leave_outbox_behind
from tests.support.store_events import full_disk

LARGE = 10**6
MIB = 1024 * 1024


def entry(number: int, size: int = 10) -> Entry:
    return Entry("events.board", f"id-{number}", bytes(size))


def messages(*entries: Entry) -> list[Change]:
    return [Change(one) for one in entries]


def test_messages_are_there_in_their_order_until_they_are_removed(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(messages(entry(1), entry(2)))
        outbox.write(messages(entry(3)))
        assert [one.entry for one in outbox.first(2)] == [entry(1), entry(2)]
        outbox.remove(outbox.first(2))
        assert [one.entry for one in outbox.first(9)] == [entry(3)]
        assert outbox.depth == 1


def test_reads_are_limited_in_bytes_but_return_at_least_one_message(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(messages(entry(1, 30), entry(2, 10), entry(3, 10), entry(4, 10)))
        assert [one.id for one in outbox.first(9, max_bytes=20)] == [1]
        assert [one.id for one in outbox.first(9, max_bytes=20, after=1)] == [2, 3]


def test_kinds_of_messages_can_be_left_out_and_asked_for(tmp_path: Path) -> None:
    entries = [
        Entry(key, key, b"") for key in ("events.a", "eventsmore.a", "finished.a.b", "events", "events.b")
    ]
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(messages(*entries))
        assert [one.entry.key for one in outbox.first(9, but_not=["events", "no"])] == [
            "eventsmore.a",
            "finished.a.b",
        ]
        assert [one.id for one in outbox.oldest_of(["finished", "eventsmore"])] == [2]
        assert outbox.oldest_of(["quarantined"]) == []


def ids(outbox: Outbox) -> list[str]:
    return [one.entry.message_id for one in outbox.first(99)]


def test_a_full_outbox_accepts_nothing_until_there_is_space(tmp_path: Path) -> None:
    with Outbox(tmp_path, 100) as outbox:
        assert len(outbox.write(messages(entry(1, 80)))) == 1
        assert len(outbox.write(messages(entry(2, 30), entry(3, 1)))) == 1, "no message is split"
        with pytest.raises(StoreUnavailableError, match="limit is 100"):
            outbox.write(messages(entry(3, 1)))
        outbox.remove(outbox.first(1))
        assert len(outbox.write(messages(entry(3, 1)))) == 1
        assert ids(outbox) == ["id-2", "id-3"]


def test_the_first_messages_of_a_batch_over_the_limit_are_stored_with_the_progress_of_their_runs(
    tmp_path: Path,
) -> None:
    batch = [Change(entry(number, 40), OpenRun("r", "{}", number)) for number in range(1, 10)]
    with Outbox(tmp_path, 100) as outbox:
        assert len(outbox.write(batch)) == 3
        assert ids(outbox) == ["id-1", "id-2", "id-3"]
        outbox.remove(outbox.first(9))
        assert len(outbox.write(batch[3:])) == 3
        outbox._lock.close()
        with Outbox(tmp_path, LARGE) as heir:
            assert heir.adopt() == [OpenRun("r", "{}", 6)]


def test_the_end_of_a_run_always_fits_but_not_before_its_predecessors(tmp_path: Path) -> None:
    run = OpenRun("r", "{}", 1)
    end = Change(entry(9), run, is_end=True)
    with Outbox(tmp_path, 100) as outbox:
        outbox.write([Change(entry(1, 100), run)])
        with pytest.raises(StoreUnavailableError):
            outbox.write([*messages(entry(2)), end])
        assert len(outbox.write([end, *messages(entry(2))])) == 1
        assert ids(outbox) == ["id-1", "id-9"]


def test_messages_that_the_disk_refused_are_not_counted_as_waiting(tmp_path: Path) -> None:
    with Outbox(tmp_path, MIB) as outbox:
        outbox.write(messages(entry(1)))
        with full_disk(tmp_path):
            for _ in range(3):
                with pytest.raises(StoreUnavailableError, match=r"outbox-.*db"):
                    outbox.write(messages(entry(2, MIB - 100)))
        assert len(outbox.write(messages(entry(2, MIB - 100), entry(3)))) == 2
        assert ids(outbox) == ["id-1", "id-2", "id-3"]


def test_a_closed_outbox_accepts_nothing_more(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, LARGE)
    outbox.close()
    with pytest.raises(StoreUnavailableError):
        outbox.write(messages(entry(1)))
    assert not list(tmp_path.iterdir())


def test_the_outbox_of_a_killed_process_is_adopted_with_its_open_runs(tmp_path: Path) -> None:
    run, ended = OpenRun("r", "{}", 7), OpenRun("e", "{}", 1)
    leave_outbox_behind(tmp_path, [Change(entry(1), run), Change(entry(4), ended)])
    leave_outbox_behind(tmp_path, messages(entry(2)))
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(messages(entry(3)))
        assert {one.run_id: one for one in outbox.adopt()} == {"r": run, "e": ended}
        assert {one.entry.message_id for one in outbox.first(9)} == {"id-1", "id-2", "id-3", "id-4"}
        assert outbox.adopt() == []
        assert len(list(tmp_path.glob("*.db"))) == 1


def test_an_adopted_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    leave_outbox_behind(tmp_path, messages(*(entry(number, MIB // 4) for number in range(256))))
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


def test_a_process_killed_during_an_adoption_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    run = OpenRun("r", "{}", 7)
    leave_outbox_behind(tmp_path, [Change(entry(number, MIB), run) for number in range(30)])
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


def test_a_file_that_cannot_be_changed_is_not_copied_repeatedly(tmp_path: Path) -> None:
    leave_outbox_behind(tmp_path, messages(entry(1)))
    (path,) = tmp_path.glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TRIGGER t BEFORE DELETE ON messages BEGIN SELECT RAISE(ABORT, 'never'); END")
    with Outbox(tmp_path, LARGE) as outbox:
        assert outbox.adopt() == outbox.adopt() == []
        assert outbox.depth == 0
    assert path.exists()


def test_the_outbox_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE) as first, Outbox(tmp_path, LARGE) as second:
        first.write([Change(entry(1), OpenRun("r", "{}", 1))])
        assert second.adopt() == []
        assert (first.depth, second.depth) == (1, 0)


def test_an_empty_outbox_leaves_no_file_and_one_with_messages_does(tmp_path: Path) -> None:
    with Outbox(tmp_path, LARGE):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    with Outbox(tmp_path, LARGE) as outbox:
        outbox.write(messages(entry(1)))
    assert len(list(tmp_path.glob("*.db"))) == 1


def test_an_unreadable_file_stays_and_does_not_block_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "outbox-0.db"
    damaged.write_bytes(b"no database at all" * 100)
    leave_outbox_behind(tmp_path, [Change(entry(1), OpenRun("r", "{}", 1))])
    with Outbox(tmp_path, LARGE) as outbox, caplog.at_level(logging.ERROR):
        assert [one.run_id for one in outbox.adopt()] == ["r"]
        assert outbox.depth == 1
    assert damaged.read_bytes() == b"no database at all" * 100
    assert "cannot adopt outbox-0.db" in caplog.text


def test_an_impossible_folder_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="TASKGEN_OUTBOX_PATH"):
        Outbox(tmp_path / "file" / "outbox", LARGE)
