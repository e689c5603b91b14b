"""Whatever is wrong with boards: what is stored is what they said, minus what the fault destroyed."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from taskgen.boards.profile import read_profile
from taskgen.distributor import Distributor
from taskgen.event import Quarantined
from taskgen.events.sql import SqliteHandler, SqliteReader
from taskgen.execution.campaign import Campaign
from taskgen.run import Outcome, Run
from taskgen.simulation import Fault, run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet

_BINARIES = ("hey", "pi", "linpack", "tumatmul")
_BOARDS = 2
_MANNERS = [
    Fault.SPLIT_WRITES,
    Fault.MERGE_FRAMES,
    Fault.SINGLE_EVENT,
    Fault.TRAILING_BYTES,
    Fault.MISSING_START,
    Fault.RESTARTED_CLOCK,
]


@dataclass
class Told:
    """One board's words, from the truth or from the store."""

    runs: list[list[dict[str, str]]] = field(default_factory=list)
    unsolicited: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Result:
    """What a campaign left behind."""

    campaign: Campaign
    truth: list[dict[str, Any]]
    runs: list[Run]
    stored: dict[str, Told]
    quarantined: list[Quarantined]

    def said(self) -> dict[str, Told]:
        """What the boards said that no fault destroyed."""
        said: dict[str, Told] = defaultdict(Told)
        for line in self.truth:
            truth = said[line["board"]]
            event = {name: value for name, value in line.items() if name.startswith("@")}
            while len(truth.runs) < line["run"]:
                truth.runs.append([])
            if "late" in line:
                truth.unsolicited.append(event)
            elif "destroyed" not in line:
                truth.runs[line["run"] - 1].append(event)
        return said

    def outcomes(self) -> dict[Outcome, int]:
        """As stored, which has to be what the campaign counted."""
        stored = Counter(run.outcome for run in self.runs if run.outcome)
        assert stored == self.campaign.outcomes
        return dict(stored)

    def reasons(self, outcome: Outcome) -> list[str]:
        return [run.reason for run in self.runs if run.outcome is outcome]


def tasks() -> TaskSet:
    return TaskSet(
        [
            Task(pkg=list(_BINARIES), period=1000),
            Task(pkg="hey", period=20, numberofjobs=3),
            Task(pkg="idle", period=1000, criticaltime=50),
        ]
    )


@pytest.fixture
def binaries(tmp_path: Path) -> Path:
    folder = tmp_path / "binaries"
    folder.mkdir()
    for name in (*_BINARIES, "idle"):
        (folder / name).write_bytes(name.encode() * 1000)
    return folder


@contextmanager
def lab(
    folder: Path, binaries: Path, faults: tuple[str, ...], dialect: str, **more: Any
) -> Iterator[Distributor]:
    truth = folder / "truth.jsonl"
    truth.touch()
    keywords: dict[str, Any] = {"probe_timeout_s": 0.5, "binaries": binaries} | more
    with (
        run_boards(_BOARDS, speed=100, dialect=dialect, faults=faults, truth=truth) as boards,
        SqliteHandler(folder / "events.db") as handler,
        Distributor(boards, event_handler=handler, **keywords) as distributor,
    ):
        yield distributor
        assert distributor.handler_failures == {}


def result(folder: Path, campaign: Campaign) -> Result:
    truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    stored: dict[str, Told] = defaultdict(Told)
    with closing(SqliteReader(folder / "events.db")) as reader:
        runs, quarantined = list(reader.runs()), list(reader.quarantined())
        for run in runs:
            rows = list(reader.events(run.run_id))
            assert [row.seq for row in rows] == list(range(run.events))
            stored[run.board].runs.append([row.event() for row in rows])
    for one in quarantined:
        if one.run_id is None:
            profile, _ = read_profile(one.data)
            stored[one.board].unsolicited += profile["profile"]["events"]["event"]
    return Result(campaign, truth, runs, stored, quarantined)


def run_with(folder: Path, binaries: Path, faults: tuple[str, ...], dialect: str, **more: Any) -> Result:
    with lab(folder, binaries, faults, dialect, **more) as distributor:
        campaign = distributor.start(tasks())
    found = result(folder, campaign)
    assert campaign.results == len(_BINARIES)
    assert campaign.failed == []
    assert found.stored == found.said()
    return found


both_dialects = pytest.mark.parametrize("dialect", ["old", "new"])


@both_dialects
@pytest.mark.parametrize(
    "faults",
    [
        (),
        *((manner,) for manner in _MANNERS),
        (Fault.SPLIT_WRITES, Fault.MERGE_FRAMES),
        (Fault.SPLIT_WRITES, Fault.MERGE_FRAMES, Fault.SINGLE_EVENT, Fault.TRAILING_BYTES),
    ],
    ids="+".join,
)
def test_no_way_of_framing_costs_an_event(
    tmp_path: Path, binaries: Path, faults: tuple[str, ...], dialect: str
) -> None:
    found = run_with(tmp_path, binaries, faults, dialect)
    assert found.outcomes() == {Outcome.FINISHED: len(_BINARIES)}
    assert found.quarantined == []
    said = Counter(line["@type"] for line in found.truth)
    missing = _BOARDS if Fault.MISSING_START in faults else 0
    assert said["START"] == 5 * len(_BINARIES) - missing
    assert all(run.reason == "" for run in found.runs)


@both_dialects
@pytest.mark.parametrize("more", [(), (Fault.SPLIT_WRITES,)], ids="+".join)
def test_late_reports_of_an_earlier_run_are_kept_apart(
    tmp_path: Path, binaries: Path, dialect: str, more: tuple[str, ...]
) -> None:
    """Board 0 has an even seed: its late frames are 144 bytes long, the number of a GO_SEND."""
    found = run_with(tmp_path, binaries, (Fault.LATE_EXIT_EXTERNAL, *more), dialect)
    assert found.outcomes() == {Outcome.FINISHED: len(_BINARIES)}
    late = [line for line in found.truth if "late" in line]
    assert late
    assert len(found.quarantined) == len(late)
    assert {one.run_id for one in found.quarantined} == {None}
    assert all("late from an earlier one" in one.reason for one in found.quarantined)


@both_dialects
def test_a_frame_that_is_not_xml_is_quarantined_and_its_run_continues(
    tmp_path: Path, binaries: Path, dialect: str
) -> None:
    found = run_with(tmp_path, binaries, (Fault.GARBAGE_FRAME,), dialect)
    assert found.outcomes() == {Outcome.FINISHED: len(_BINARIES)}
    assert len(found.quarantined) == _BOARDS
    for one in found.quarantined:
        assert one.reason.startswith("not XML")
        assert one.data.startswith(b"\x7fELF")
        assert one.run_id in {run.run_id for run in found.runs if run.board == one.board}


@both_dialects
def test_a_stream_that_ends_in_a_frame_means_a_lost_board_and_the_run_is_retried(
    tmp_path: Path, binaries: Path, dialect: str
) -> None:
    found = run_with(tmp_path, binaries, (Fault.EOF_MID_FRAME,), dialect)
    assert found.outcomes() == {Outcome.FINISHED: len(_BINARIES), Outcome.BOARD_LOST: _BOARDS}
    assert all("in the middle of a frame" in why for why in found.reasons(Outcome.BOARD_LOST))
    assert [line for line in found.truth if line.get("destroyed") == Fault.EOF_MID_FRAME]
    assert_tried_again(found, Outcome.BOARD_LOST)


@both_dialects
def test_a_huge_size_ends_the_session_is_quarantined_and_the_run_is_retried(
    tmp_path: Path, binaries: Path, dialect: str
) -> None:
    found = run_with(tmp_path, binaries, (Fault.HUGE_SIZE,), dialect)
    assert found.outcomes() == {Outcome.FINISHED: len(_BINARIES), Outcome.BOARD_ERROR: _BOARDS}
    assert all("4294967295 bytes" in why for why in found.reasons(Outcome.BOARD_ERROR))
    assert_tried_again(found, Outcome.BOARD_ERROR)
    assert len(found.quarantined) == _BOARDS
    for one in found.quarantined:
        assert one.data.startswith(b"\xff\xff\xff\xff")
        assert one.run_id in {run.run_id for run in found.runs if run.outcome is Outcome.BOARD_ERROR}


@both_dialects
def test_a_frozen_board_is_noticed_and_the_run_is_retried(
    tmp_path: Path, binaries: Path, dialect: str
) -> None:
    found = run_with(tmp_path, binaries, (Fault.FREEZE,), dialect, silence_timeout_s=1.5)
    assert found.outcomes() == {Outcome.FINISHED: len(_BINARIES), Outcome.BOARD_LOST: _BOARDS}
    assert found.reasons(Outcome.BOARD_LOST) == ["the board was silent for 1.5 s"] * _BOARDS
    assert_tried_again(found, Outcome.BOARD_LOST)


def assert_tried_again(found: Result, outcome: Outcome) -> None:
    """Each such run was followed by another attempt at the same variant, which has a result."""
    for lost in (run for run in found.runs if run.outcome is outcome):
        (again,) = [
            run for run in found.runs if run.taskset_id == lost.taskset_id and run.attempt == lost.attempt + 1
        ]
        assert again.variant == lost.variant
