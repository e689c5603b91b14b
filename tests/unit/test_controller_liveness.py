"""Which runs a controller takes for lost, and which it does not."""

from __future__ import annotations

from services.controller.controller import LiveRun
from services.controller.liveness import LivenessMonitor
from taskgen.execution.board import BoardState
from taskgen.messages.codec import BoardReport, StatusMessage
from taskgen.run import now

LOST_AFTER_S = 60.0
BEGAN = 1000.0


def run(name: str = "r", distributor: str = "d") -> LiveRun:
    return LiveRun(name, f"taskset of {name}", "board", distributor)


def status(*shown: LiveRun, distributor: str = "d", outbox: int = 0) -> StatusMessage:
    boards = [
        BoardReport(
            name=one.board,
            state=BoardState.RUNNING,
            since=now(),
            run_id=one.run_id,
            taskset_id=one.taskset_id,
        )
        for one in shown
    ]
    return StatusMessage(distributor=distributor, boards=boards, outbox=outbox)


def monitor() -> LivenessMonitor:
    return LivenessMonitor(LOST_AFTER_S, BEGAN)


def test_nobody_is_silent_for_longer_than_we_listen() -> None:
    judge = monitor()
    assert judge.lost([run()], {"d": BEGAN - 500}, BEGAN + 60) == {}
    assert list(judge.lost([run()], {"d": BEGAN - 500}, BEGAN + 60.1)) == ["r"]


def test_a_status_or_another_message_breaks_the_silence() -> None:
    judge = monitor()
    judge.hear(status(run()), [run()], BEGAN + 50)
    assert judge.lost([run()], {}, BEGAN + 110) == {}
    assert judge.lost([run()], {"d": BEGAN + 100}, BEGAN + 160) == {}
    assert "silent for 60 s" in judge.lost([run()], {"d": BEGAN + 100}, BEGAN + 161)["r"]


def test_one_distributor_does_not_speak_for_another() -> None:
    judge = monitor()
    mine, theirs = run("mine"), run("theirs", "e")
    judge.hear(status(mine), [mine, theirs], BEGAN + 50)
    assert list(judge.lost([mine, theirs], {}, BEGAN + 61)) == ["theirs"]


def test_an_unreported_run_is_lost_only_after_a_while_and_with_an_empty_outbox() -> None:
    judge = monitor()
    for at in range(0, 70, 2):
        judge.hear(status(outbox=1), [run()], BEGAN + at)
    assert judge.lost([run()], {}, BEGAN + 70) == {}, "its end may be in the outbox"
    judge.hear(status(), [run()], BEGAN + 71)
    assert "not reported it" in judge.lost([run()], {}, BEGAN + 71)["r"]


def test_a_run_that_is_reported_again_is_not_lost() -> None:
    judge = monitor()
    for at in range(0, 120, 2):
        judge.hear(status(run()) if at == 58 else status(), [run()], BEGAN + at)
        assert judge.lost([run()], {}, BEGAN + at) == {}
    judge.hear(status(), [run()], BEGAN + 121)
    assert list(judge.lost([run()], {}, BEGAN + 121)) == ["r"]


def test_the_last_report_of_a_silent_distributor_no_longer_counts() -> None:
    judge = monitor()
    judge.hear(status(run()), [run()], BEGAN)
    assert judge.running == {"r": "taskset of r"}
    judge.lost([run()], {}, BEGAN + 61)
    assert judge.running == {}


def test_nothing_is_kept_of_runs_that_have_ended() -> None:
    judge = monitor()
    judge.hear(status(), [run()], BEGAN)
    judge.hear(status(), [], BEGAN + 2)
    judge.hear(status(), [run()], BEGAN + 61)
    assert judge.lost([run()], {}, BEGAN + 62) == {}, "its absence starts over"


def test_nothing_is_kept_of_distributors_that_are_gone() -> None:
    judge = monitor()
    for number in range(100):
        name = f"life {number}"
        judge.hear(status(run(f"run {number}", name), distributor=name), [], BEGAN + 100 * number)
        judge.lost([], {}, BEGAN + 100 * number)
    assert list(judge.running) == ["run 99"]
