"""What holds for the parts of a CSV store alone."""

import logging
from contextlib import closing
from pathlib import Path

import pytest

from taskgen.errors import StoreError
from taskgen.event import Quarantined
from taskgen.events.csv import quarantine_path
from taskgen.events.csv_parts import CsvPartsHandler, open_parts
from tests.support.profiles import event
from tests.support.store_events import give, run_id, taskset


def parts(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("events-*.csv")) if "quarantine" not in path.name]


def seqs(folder: Path, run: str) -> list[int]:
    with closing(open_parts(folder)) as reader:
        return [row.seq for row in reader.events(run)]


def test_replicas_write_parts_of_their_own_and_no_event_twice(tmp_path: Path) -> None:
    tasks = taskset()
    with CsvPartsHandler(tmp_path, "a") as first, CsvPartsHandler(tmp_path, "b") as second:
        give(first, tasks, 0, event("X", 0, 0), event("X", 0, 1))
        give(second, tasks, 1, event("X", 0, 1), event("X", 0, 2))
        give(first, tasks, 2, event("X", 0, 2))
    assert [path.name[:9] for path in parts(tmp_path)] == ["events-a-", "events-b-"]
    assert [len(path.read_bytes().splitlines()) - 1 for path in parts(tmp_path)] == [2, 1]
    assert seqs(tmp_path, run_id(tasks)) == [0, 1, 2]


def test_a_new_handler_continues_a_part_without_an_owner(tmp_path: Path) -> None:
    for instance in ("a", "b", "c"):
        with CsvPartsHandler(tmp_path, instance) as handler:
            give(handler, taskset(), 0, event("X", 0, 0))
    (part,) = parts(tmp_path)
    assert part.name.startswith("events-a-")
    with CsvPartsHandler(tmp_path, "d"), CsvPartsHandler(tmp_path, "e"):
        assert len(parts(tmp_path)) == 2


def test_data_that_a_killed_writer_did_not_enter_in_the_ledger_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = taskset()
    with CsvPartsHandler(tmp_path) as handler:
        give(handler, tasks, 0, event("X", 0, 0))
        handler.__taskset_quarantine__(None, Quarantined("why", b"bytes", "board", "1"))
    (part,) = parts(tmp_path)
    beside = part.with_suffix(".quarantine.csv")
    for path in (part, beside):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines, lines[-1].replace(b",0,", b",1,"), b"torn"]))
    assert seqs(tmp_path, run_id(tasks)) == [0]
    with closing(open_parts(tmp_path)) as reader:
        assert len(list(reader.quarantined())) == 1
    with caplog.at_level(logging.WARNING), CsvPartsHandler(tmp_path) as handler:
        give(handler, tasks, 1, event("X", 0, 1))
        handler.__taskset_quarantine__(None, Quarantined("why", b"other", "board", "2"))
    assert caplog.text.count("incomplete bytes") == 2
    assert seqs(tmp_path, run_id(tasks)) == [0, 1]
    with closing(open_parts(tmp_path)) as reader:
        assert [one.data for one in reader.quarantined()] == [b"bytes", b"other"]


def test_a_batch_whose_quarantine_cannot_be_stored_is_not_stored_at_all(tmp_path: Path) -> None:
    tasks = taskset()
    with CsvPartsHandler(tmp_path) as handler:
        (part,) = parts(tmp_path)
        before = part.read_bytes()
        quarantine_path(part).mkdir()
        handler.begin()
        give(handler, tasks, 0, event("X", 0, 0))
        handler.__taskset_quarantine__(None, Quarantined("why", b"bytes", "board", "now"))
        with pytest.raises(StoreError):
            handler.commit()
        assert part.read_bytes() == before
        quarantine_path(part).rmdir()
        handler.commit()
        handler.commit()
    assert seqs(tmp_path, run_id(tasks)) == [0]
    with closing(open_parts(tmp_path)) as reader:
        assert [one.data for one in reader.quarantined()] == [b"bytes"]


def test_a_part_missing_from_the_ledger_is_never_truncated(tmp_path: Path) -> None:
    with CsvPartsHandler(tmp_path) as handler:
        give(handler, taskset(), 0, event("X", 0, 0))
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    (part,) = parts(tmp_path)
    before = part.read_bytes()
    with pytest.raises(StoreError, match="ledger"):
        CsvPartsHandler(tmp_path)
    assert part.read_bytes() == before


def test_a_part_shorter_than_the_ledger_says_is_an_error(tmp_path: Path) -> None:
    with CsvPartsHandler(tmp_path) as handler:
        give(handler, taskset(), 0, event("X", 0, 0))
    (part,) = parts(tmp_path)
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(StoreError, match="restore the file"):
        CsvPartsHandler(tmp_path)


def test_a_missing_part_is_an_error_when_read(tmp_path: Path) -> None:
    with CsvPartsHandler(tmp_path) as handler:
        give(handler, taskset(), 0, event("X", 0, 0))
    (part,) = parts(tmp_path)
    part.unlink()
    with pytest.raises(StoreError, match="no such file"):
        open_parts(tmp_path)


def test_a_folder_without_a_ledger_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"ledger\.db"):
        open_parts(tmp_path)


@pytest.mark.parametrize(
    ("folder", "instance", "words"),
    [
        ("missing/parts", "a", "cannot be created"),
        ("file", "a", "cannot be created"),
        ("parts", "a/b", "instance"),
    ],
)
def test_a_wrong_setting_is_an_error_at_once(tmp_path: Path, folder: str, instance: str, words: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=words):
        CsvPartsHandler(tmp_path / folder, instance)


def test_the_ledger_needs_one_row_for_a_run_that_came_in_order(tmp_path: Path) -> None:
    tasks = taskset()
    with CsvPartsHandler(tmp_path) as first, CsvPartsHandler(tmp_path) as second:
        for seq in range(0, 40, 2):
            give((first, second)[seq % 4 == 0], tasks, seq, event("X", 0, seq), event("X", 0, seq + 1))
        stored = first._ledger._file.rows("SELECT first_seq, count FROM stored")
        assert list(stored) == [(0, 40)]
