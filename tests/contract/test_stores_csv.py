"""What holds for CSV files alone."""

import csv
import json
import logging
import os
import random
from contextlib import closing
from pathlib import Path

import pytest

from taskgen.errors import StoreError, StoreUnavailableError
from taskgen.event import Quarantined
from taskgen.events.csv import (
    COLUMNS,
    CsvHandler,
    quarantine_path,
    read_events,
    read_quarantined,
    read_runs,
)
from taskgen.events.csv_file import CsvFile
from tests.support.profiles import event
from tests.support.store_events import full_disk, give, run_id, taskset

_HEADER = b"run_id,seq,taskset_id,board,attempt,variant,task_id,type,time_stamp,received_at,attributes\r\n"


def test_a_file_follows_rfc_4180_with_columns_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    tasks = taskset(run_id="r", taskset_id="t", variant=4)
    with CsvHandler(str(path)) as handler:
        give(handler, tasks, 0, event("START", 0, 1), event('A "B", C', 1, 2**64 - 1, **{"@x": "1"}))
    received = "2024-05-06T07:08:09.000001+00:00"
    assert (
        path.read_bytes()
        == _HEADER
        + (
            f"r,0,t,127.0.10.1:3001,1,4,0,START,1,{received},\r\n"
            f'r,1,t,127.0.10.1:3001,1,4,1,"A ""B"", C",{2**64 - 1},{received},"{{""@x"": ""1""}}"\r\n'
        ).encode()
    )
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert json.loads(rows[1]["attributes"]) == {"@x": "1"}


def test_an_existing_file_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    first, second = taskset(), taskset()
    for tasks in (first, second):
        with CsvHandler(path) as handler:
            give(handler, tasks, 0, event("X", 0, 1))
    assert path.read_bytes().count(_HEADER) == 1
    assert [run.run_id for run in read_runs(path)] == sorted([run_id(first), run_id(second)])


def test_a_file_with_a_different_header_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("item,price\nmilk,1")
    with pytest.raises(StoreError, match="different header"):
        CsvHandler(path)
    assert path.read_text() == "item,price\nmilk,1"
    with pytest.raises(StoreError, match="different header"):
        read_runs(path)


@pytest.mark.parametrize("path", ["missing/events.csv", "."])
def test_an_impossible_path_is_an_error_at_once(tmp_path: Path, path: str) -> None:
    with pytest.raises(StoreError, match="folder") as caught:
        CsvHandler(tmp_path / path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_being_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    with CsvHandler(path), pytest.raises(StoreError, match="another process is writing to it"):
        CsvHandler(path)
    CsvHandler(path).close()


def test_a_line_torn_anywhere_is_removed_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also one torn within its line end, within the header, and with a line break in a value."""
    path = tmp_path / "events.csv"
    tasks = taskset()
    events = [event("A\r\nB", 0, n, **{"@x": 'say "\r\n"'}) for n in range(2)]
    with CsvHandler(path) as handler:
        give(handler, tasks, 0, *events)
    whole = path.read_bytes()
    first_line = len(_HEADER) + len(whole[len(_HEADER) :]) // 2
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with CsvHandler(path) as handler:
            good = max(size for size in (0, len(_HEADER), first_line) if size <= length)
            assert path.read_bytes() == (whole[:good] or _HEADER)
            give(handler, tasks, 0, *events)
        assert path.read_bytes() == whole
    caplog.clear()
    path.write_bytes(whole + b"torn")
    with caplog.at_level(logging.WARNING):
        CsvHandler(path).close()
    assert "removed 4 incomplete bytes" in caplog.text


def test_a_torn_end_of_many_blocks_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    for extra in (65535, 65536, 65537, 200_000):
        path.write_bytes(_HEADER + b"x" * extra)
        CsvHandler(path).close()
        assert path.read_bytes() == _HEADER


def test_a_reader_does_not_see_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    tasks = taskset()
    with CsvHandler(path) as handler:
        give(handler, tasks, 0, event("X", 0, 1))
    with path.open("ab") as file:
        file.write(b"torn,7")
    assert [row.seq for row in read_events(path, run_id(tasks))] == [0]


def test_a_broken_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(_HEADER + b"too,few\r\n")
    with pytest.raises(StoreError, match="line 2"):
        read_runs(path)
    with pytest.raises(StoreError, match="line 2"):
        CsvHandler(path)


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    tasks = taskset()
    with CsvHandler(path) as handler:
        give(handler, tasks, 0, event("X", 0, 1))
        before = path.read_bytes()
        with full_disk(tmp_path), pytest.raises(StoreUnavailableError, match="File too large"):
            give(handler, tasks, 1, *(event("X", 0, n) for n in range(100)))
        assert path.read_bytes() == before


def test_the_rest_of_a_failed_append_is_removed_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    tasks = taskset()
    with CsvHandler(path) as handler:
        give(handler, tasks, 0, event("X", 0, 0))
        before = path.read_bytes()
        with path.open("ab") as file:
            file.write(b"torn" * 1000)
        give(handler, tasks, 1, event("X", 0, 1))
    assert path.read_bytes().startswith(before)
    assert b"torn" not in path.read_bytes()
    assert [row.seq for row in read_events(path, run_id(tasks))] == [0, 1]


@pytest.mark.parametrize("length", [0, 20, len(_HEADER) + 30])
def test_a_file_truncated_by_another_program_while_open_is_an_error_and_not_filled_with_nuls(
    tmp_path: Path, length: int
) -> None:
    path = tmp_path / "events.csv"
    with CsvHandler(path) as handler:
        give(handler, taskset(), 0, event("X", 0, 0))
        os.truncate(path, length)
        with pytest.raises(StoreError, match=f"truncated by another program: {length} of"):
            give(handler, taskset(), 0, event("X", 0, 0))
        handler.abandon()
        assert path.stat().st_size == length
    tasks = taskset()
    with CsvHandler(path) as handler:
        give(handler, tasks, 0, event("X", 0, 0))
    assert [row.seq for row in read_events(path, run_id(tasks))] == [0]
    assert [run.run_id for run in read_runs(path)] == [run_id(tasks)]


def test_undoing_an_append_does_not_fill_a_truncated_file_with_nuls(tmp_path: Path) -> None:
    with closing(CsvFile(tmp_path / "events.csv", COLUMNS)) as file:
        file.append(b"x\r\n")
        before = file.length
        file.append(b"y\r\n")
        os.truncate(file.path, 0)
        with pytest.raises(StoreError, match="truncated by another program"):
            file.cut(before)
    assert file.path.read_bytes() == b""


def test_a_line_break_in_the_boards_name_is_refused(tmp_path: Path) -> None:
    tasks = taskset()
    assert tasks.run is not None
    tasks.run.board = "a\nb"
    handler = CsvHandler(tmp_path / "events.csv")
    with pytest.raises(StoreError, match="line break"):
        give(handler, tasks, 0, event("X", 0, 1))
    handler.abandon()
    handler.close()
    assert (tmp_path / "events.csv").read_bytes() == _HEADER


def test_the_quarantine_is_a_file_beside_it_created_when_needed(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    with CsvHandler(path) as handler:
        assert list(read_quarantined(path)) == []
        assert not quarantine_path(path).exists()
        handler.__taskset_quarantine__(None, Quarantined("no\r\nXML", b"\0\xff\r\n", "board", "now"))
    assert quarantine_path(path) == tmp_path / "events.quarantine.csv"
    assert quarantine_path(path).read_bytes() == (
        b"received_at,board,run_id,reason,data\r\nnow,board,,no XML,AP8NCg==\r\n"
    )


def test_a_batch_whose_quarantine_cannot_be_stored_is_not_stored_at_all(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    tasks = taskset()
    quarantine_path(path).mkdir()
    with CsvHandler(path) as handler:
        handler.begin()
        give(handler, tasks, 0, event("X", 0, 0))
        handler.__taskset_quarantine__(None, Quarantined("why", b"bytes", "board", "now"))
        with pytest.raises(StoreError):
            handler.commit()
        assert path.read_bytes() == _HEADER
        quarantine_path(path).rmdir()
        handler.commit()
    assert [row.seq for row in read_events(path, run_id(tasks))] == [0]
    assert [one.data for one in read_quarantined(path)] == [b"bytes"]


def test_events_of_many_runs_out_of_order_are_there_once(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    chance = random.Random(7)
    runs = [taskset() for _ in range(5)]
    calls = [(tasks, seq) for tasks in runs for seq in range(30)] * 2
    chance.shuffle(calls)
    for part in range(0, len(calls), 50):
        with CsvHandler(path) as handler:
            for tasks, seq in calls[part : part + 50]:
                give(handler, tasks, seq, event("X", 0, seq))
    for tasks in runs:
        assert sorted(row.seq for row in read_events(path, run_id(tasks))) == list(range(30))
