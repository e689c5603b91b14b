"""What a campaign's end means as an exit code, and how much of it is shown."""

import io

import pytest
from rich.live import Live

from taskgen.cli.miss_counter import Misses
from taskgen.cli.progress import LiveDisplay, Rate, Snapshot
from taskgen.cli.summary import Summary
from taskgen.cli.terminal import PlainConsole
from taskgen.execution.board import NOT_TRIED, BoardState
from taskgen.execution.campaign import FailedTaskSet
from taskgen.execution.dispatcher import Counters

FAILED = FailedTaskSet(
    "a.json", 3, ("attempt 1 on b:1: gone [red]", "attempt 2 on b:2: gone"), {"task1.priority": 5}
)


def summary(
    outcomes: dict[str, int],
    failed: tuple[FailedTaskSet, ...] = (),
    failures: dict[str, int] | None = None,
    *,
    signal: str | None = None,
    misses: int = 0,
    fails_on_miss: bool = False,
) -> Summary:
    metrics = Misses(jobs=50, misses=misses, variants=bool(misses))
    stored: dict[str, str] = {}
    return Summary(
        10, outcomes, list(failed), Counters(), metrics, failures or {}, stored, 1.0, signal, fails_on_miss
    )


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (summary({"finished": 9, "stopped_by_rule": 1}), 0),
        (summary({"finished": 10, "board_lost": 3, "board_error": 1}), 0),  # tried again, with success
        (summary({"finished": 9, "timed_out": 1}), 1),
        (summary({"finished": 9, "board_lost": 3}, (FAILED,)), 1),
        (summary({"finished": 10}, failures={"SqliteHandler raised StoreError": 1}), 1),
        (summary({"finished": 9, "stopped_by_user": 1}), 1),
        (summary({"finished": 10}, signal="SIGTERM"), 130),
        (summary({"timed_out": 10}, (FAILED,), signal="SIGTERM"), 130),
        (summary({}), 0),
        (summary({"finished": 10}, misses=3), 0),
        (summary({"finished": 10}, misses=3, fails_on_miss=True), 1),
        (summary({"finished": 10}, fails_on_miss=True), 0),
    ],
)
def test_the_exit_code_reflects_the_result(ended: Summary, code: int) -> None:
    assert ended.exit_code == code


def shown(ended: Summary) -> str:
    console = PlainConsole(file=io.StringIO(), width=80)
    ended.show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_failed_variant_is_shown_with_every_reason_as_it_was_written() -> None:
    text = shown(summary({"finished": 9}, (FAILED,)))
    assert "a.json, variant 3 (task1.priority=5)" in text
    assert "attempt 1 on b:1: gone [red]" in text
    assert "attempt 2 on b:2: gone" in text


def test_many_failed_variants_do_not_fill_the_terminal() -> None:
    text = shown(summary({}, (FAILED,) * 1_000))
    assert len(text.splitlines()) < 100
    assert "and 980 more failed variants" in text


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.at(0.0, 0) == 0
    assert rate.at(1.0, 100) == 100
    assert [rate.at(float(second), 100) for second in range(2, 6)][-1] == 0


BOARDS = (
    ("127.0.0.1:3001", BoardState.RUNNING, "variant 17 (task1.priority=5)"),
    ("127.0.0.2:3001", BoardState.LOST, NOT_TRIED),
    ("127.0.0.3:3001", BoardState.LOST, "silent"),
)


def live_lines(width: int, boards: tuple[tuple[str, BoardState, str], ...] = BOARDS) -> list[str]:
    console = PlainConsole(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None)
    assert isinstance(console.file, io.StringIO)
    live = Live(console=console)  # never started: it would write escape sequences of its own
    LiveDisplay(live).show(Snapshot(boards, done=1, total=9, failed=0))
    console.print(live.get_renderable())
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()][1:]


def test_a_wide_terminal_shows_what_each_board_does_and_a_narrow_one_only_the_lost() -> None:
    assert live_lines(200)[1:4] == [
        "127.0.0.1:3001 running variant 17 (task1.priority=5)",
        "127.0.0.2:3001 connecting",
        "127.0.0.3:3001 lost silent",
    ]
    assert live_lines(80)[1:] == ["127.0.0.3:3001: silent", ""]
    assert live_lines(200, BOARDS * 10)[-2] == "and 5 more lost"


def test_a_board_that_was_not_tried_yet_is_not_lost() -> None:
    assert live_lines(80)[0].startswith("boards: 1 busy, 0 idle, 1 lost")
