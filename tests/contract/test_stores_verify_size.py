"""`verify` needs no more memory or disk for more events, and finds the same whatever their order."""

import os
import random
import resource
import subprocess
import sys
from collections import Counter
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from taskgen.errors import StoreError
from taskgen.event_columns import EventColumns, Frame
from taskgen.events import accounts, csv_reader
from taskgen.events.accounts import Holding, holding_of
from taskgen.events.base import Batch, EventRow, StoringHandler
from taskgen.events.csv import COLUMNS, CsvHandler
from taskgen.events.csv_file import lines
from taskgen.events.csv_parts import CsvPartsHandler, open_parts
from taskgen.events.csv_reader import CsvReader, Part
from taskgen.events.findings import Finding, Report
from taskgen.events.postgres import PostgresHandler
from taskgen.events.ranges import Spans
from taskgen.events.sql import SqliteHandler
from taskgen.events.verify import Problem, verify
from taskgen.run import Outcome, Run, new_id, now

_TASKS = [{"id": 0, "pkg": "hey"}]


def row(run: Run, seq: int, **more: Any) -> EventRow:
    return EventRow(run.run_id, seq, 0, "START", 10 * seq, "2024-05-06", None)._replace(**more)


def in_columns(run: Run, rows: list[EventRow]) -> list[tuple[Run, EventColumns]]:
    """What a store is given of these events: of those that follow one another together."""
    batches = []
    for _, group in groupby(enumerate(rows), key=lambda one: one[1].seq - one[0]):
        part = [found for _, found in group]
        columns = EventColumns(
            [one.type for one in part],
            [one.task_id for one in part],
            [one.time_stamp for one in part],
            [Frame(part[0].seq, part[0].received_at)],
        )
        batches.append((run, columns))
    return batches


def store(handler: StoringHandler, run: Run, count: int, every: int = 1) -> None:
    """A whole run, or every n-th event of it."""
    with handler:
        handler._write(Batch(started=[(run, _TASKS)]))
        for first in range(0, count, 5000):
            rows = [row(run, seq) for seq in range(first, min(first + 5000, count), every)]
            handler._write(Batch(events=in_columns(run, rows)))
        ended = Run(run.board, run.run_id, run.taskset_id, started_at=run.started_at)
        ended.outcome, ended.events, ended.ended_at = Outcome.FINISHED, count, "2024-05-07"
        handler._write(Batch(ended=[ended]))


def limited(*stores: str) -> tuple[int, str, int]:
    """Exit code, what was said, and MB that were needed, of `verify` that may write no file to speak of."""
    with subprocess.Popen(
        [sys.executable, "-m", "taskgen", "verify", *stores],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)),  # noqa: PLW1509 - no threads
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, said, usage.ru_maxrss // 1024


@pytest.mark.parametrize("every", [1, 2])
def test_more_events_need_neither_more_memory_nor_any_disk(
    tmp_path: Path, postgres_database: str, every: int
) -> None:
    """Neither where all is well, nor where every second event is missing."""
    needed = {}
    for count in (1_000, 100_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        run = Run("127.0.10.1:3001")
        store(SqliteHandler(folder / "events.db"), run, count, every)
        store(CsvPartsHandler(folder / "parts"), run, count)
        store(CsvHandler(folder / "events.csv"), run, count)
        specs = [f"sqlite:{folder}/events.db", f"csv:{folder}/parts", f"csv:{folder}/events.csv"]
        if count > 1_000:
            store(PostgresHandler(postgres_database), run, count)
            specs.append(postgres_database)
        code, said, needed[count] = limited(*specs)
        assert code == (0 if every == 1 else 1), said
        assert every == 1 or f"{count // 2} events missing: 1, 3, 5, 7, 9, ..." in said
        assert f"{count:,} in csv:{folder}/parts" in said
    assert needed[100_000] < needed[1_000] + 40, needed


def test_a_store_that_needs_too_much_memory_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(lines([COLUMNS]))
    os.truncate(path, 2**29)
    done = subprocess.run(
        [sys.executable, "-m", "taskgen", "verify", f"csv:{path}"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29)),
    )
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("taskgen: not enough memory")
    assert done.stderr.count("\n") == 1


def _holding(seqs: list[int]) -> Holding:
    run = Run("board", run_id="r")
    return holding_of(row(run, seq) for seq in seqs)


def test_a_holding_is_whole_only_with_each_number_once() -> None:
    """Also where count, smallest, largest, sum and sum of squares are those of the whole."""
    chance = random.Random(3)
    for count in range(9):
        whole = list(range(count))
        assert _holding(chance.sample(whole, count)).is_whole(count)
        assert _holding(whole).is_whole(None)
        assert not _holding(whole).is_whole(count + 1)
        assert count == 0 or not _holding(whole).is_whole(count - 1)
    for _ in range(500):
        seqs = [chance.randrange(-1, 6) for _ in range(6)]
        assert _holding(seqs).is_whole(6) == (sorted(seqs) == list(range(6)))
    twins = [0, 4, 5], [1, 2, 6]
    assert [sum(n**power for n in twins[0]) for power in (1, 2)] == [
        sum(n**power for n in twins[1]) for power in (1, 2)
    ]
    assert not _holding([3, 7, 8, 0, 0, 4, 4, 5, 5]).is_whole(9)
    assert not _holding([0, 3, 8, *twins[1], *twins[1][:-1], 7]).is_whole(10)


def test_holdings_are_equal_where_the_events_are_in_whatever_order() -> None:
    chance = random.Random(4)
    run = Run("board", run_id="r")
    rows = [row(run, seq) for seq in range(20)]
    one = holding_of(rows)
    assert one.equals(holding_of(chance.sample(rows, 20)))
    others = [
        rows[:-1],
        [*rows, rows[0]],
        [*rows[:-1], rows[0]],
        [*rows[:-1], rows[-1]._replace(task_id=1)],
        [*rows[:-1], rows[-1]._replace(type="STAR", received_at="T2024-05-06")],
        [*rows[:-1], rows[-1]._replace(attributes="")],
        [rows[0]._replace(time_stamp=10), rows[1]._replace(time_stamp=0), *rows[2:]],
    ]
    assert not any(one.equals(holding_of(other)) for other in others)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold so little at once that ten runs need many passes."""
    monkeypatch.setattr(accounts, "_RUNS_AT_ONCE", 2)
    monkeypatch.setattr(csv_reader, "_EVENTS_AT_ONCE", 3)
    monkeypatch.setattr(csv_reader, "_LINES_OF_STRETCH", 2)


def _scattered(folder: Path, chance: random.Random) -> tuple[list[Run], Counter[EventRow]]:
    """Parts with ten runs, their lines in any order, some of them missing, twice or other than they were."""
    runs = [Run("board", run_id=new_id()) for _ in range(10)]
    held: Counter[EventRow] = Counter()
    written: list[list[tuple[object, ...]]] = [[], [], []]
    for run in runs:
        for seq in range(chance.randrange(12)):
            for _ in range(chance.choices((0, 1, 2, 3), (1, 20, 1, 1))[0]):
                one = row(run, seq, task_id=int(chance.random() < 0.05))
                held[one] += 1
                written[chance.randrange(3)].append((*one[:2], run.taskset_id, "board", 1, 0, *one[2:]))
    for number, part in enumerate(written):
        chance.shuffle(part)
        (folder / f"{number}.csv").write_bytes(lines([COLUMNS, *part]))
    return runs, held


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(20))
def test_lines_in_any_order_are_read_in_theirs_however_little_is_held_at_once(
    tmp_path: Path, seed: int
) -> None:
    runs, held = _scattered(tmp_path, random.Random(seed))
    with closing(CsvReader("csv", *(Part(tmp_path / f"{number}.csv") for number in range(3)))) as reader:
        found = list(reader.accounts(lambda _: None))
        assert [one.run_id for one in found] == sorted({event.run_id for event in held})
        for run in runs:
            expected = sorted(event for event in held.elements() if event.run_id == run.run_id)
            assert sorted(reader.events(run.run_id)) == expected
            seqs = [event.seq for event in reader.events(run.run_id)]
            assert seqs == sorted(seqs)
        by_id = {one.run_id: one.events for one in found}
        for run_id, events in by_id.items():
            assert events.equals(holding_of(event for event in held.elements() if event.run_id == run_id))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(20))
def test_the_findings_are_the_real_differences(tmp_path: Path, seed: int) -> None:
    runs, held = _scattered(tmp_path, random.Random(seed))
    wrong: set[tuple[str, Problem, int]] = set()
    with SqliteHandler(tmp_path / "events.db") as handler:
        for run in runs:
            events = [event for event in held.elements() if event.run_id == run.run_id]
            count = max((event.seq + 1 for event in events), default=0)
            handler._write(Batch(started=[(run, [{"id": 0}, {"id": 1}])]))
            handler._write(Batch(events=in_columns(run, [row(run, seq) for seq in range(count)])))
            run.outcome, run.events, run.ended_at = Outcome.FINISHED, count, now()
            handler._write(Batch(ended=[run]))
            for seq in range(count):
                times = sum(event.seq == seq for event in events)
                wrong |= {(run.run_id, Problem.MISSING, seq)} if times == 0 else set()
                wrong |= {(run.run_id, Problem.DOUBLE, seq)} if times > 1 else set()
                if any(event.seq == seq and event.task_id for event in events):
                    wrong.add((run.run_id, Problem.OTHER_EVENTS, seq))
    (tmp_path / "all.csv").write_bytes(
        (tmp_path / "0.csv").read_bytes()
        + b"".join((tmp_path / f"{n}.csv").read_bytes().split(b"\r\n", 1)[1] for n in (1, 2))
    )
    report = verify([f"sqlite:{tmp_path}/events.db", f"csv:{tmp_path}/all.csv"])
    assert _numbers(report.findings) == wrong


def _numbers(findings: list[Finding]) -> set[tuple[str, Problem, int]]:
    return {
        (one.run_id, one.problem, seq)
        for one in findings
        for first, last in one.ranges
        for seq in range(first, last + 1)
    }


def test_ranges_and_findings_are_counted_and_the_first_of_them_kept() -> None:
    spans = Spans()
    for number in range(0, 1000, 2):
        spans.add(number, number)
    spans.add(999, 1000)
    assert (spans.count, len(spans.kept), spans.kept[:2]) == (502, 50, [(0, 0), (2, 2)])
    report = Report()
    report.add(Finding.of_events("r", "s", Problem.MISSING, spans) for _ in range(6000))
    assert (report.found, len(report.findings), report.is_clean) == (6000, 5000, False)
    assert str(report.findings[0]).endswith("502 events missing: 0, 2, 4, 6, 8, ...")


def test_progress_is_reported(tmp_path: Path) -> None:
    run, said = Run("board"), list[str]()
    store(SqliteHandler(tmp_path / "events.db"), run, 30_000, 2)
    verify([f"sqlite:{tmp_path}/events.db"], said.append)
    assert said[0] == f"15,000 events read in sqlite:{tmp_path}/events.db"
    assert said[-1] == f"run {run.run_id} differs: its events are compared one by one"


def test_a_file_changed_while_being_read_is_an_error(tmp_path: Path) -> None:
    run = Run("board")
    store(CsvHandler(tmp_path / "events.csv"), run, 5_000)
    path = tmp_path / "events.csv"
    with closing(CsvReader("csv", Part(path))) as reader:
        rows = reader.events(run.run_id)
        assert next(rows).seq == 0
        path.write_bytes(path.read_bytes().replace(run.run_id.encode(), b"x" * len(run.run_id)))
        with pytest.raises(StoreError, match="changed"):
            list(rows)


def test_parts_are_read_as_they_were_when_they_were_opened(tmp_path: Path) -> None:
    run = Run("board")
    store(CsvPartsHandler(tmp_path / "parts"), run, 10)
    with closing(open_parts(tmp_path / "parts")) as reader:
        store(CsvPartsHandler(tmp_path / "parts"), Run("board"), 10)
        assert [one.events.count for one in reader.accounts(lambda _: None)] == [10]
        assert len(list(reader.events(run.run_id))) == 10
