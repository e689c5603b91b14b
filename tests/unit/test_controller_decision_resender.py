"""When a controller tells a board a second time that its run is over."""

from __future__ import annotations

from services.controller.controller import LiveRun
from services.controller.supervisor import DecisionResender
from taskgen.messages.codec import DecisionMessage
from taskgen.run import Outcome

DECISION = DecisionMessage(run_id="r", outcome=Outcome.FINISHED)
DECIDED = LiveRun("r", "taskset", "board", "d", DECISION)
UNDECIDED = LiveRun("u", "taskset", "board", "d")


def test_a_decision_is_due_again_after_a_while_and_only_while_the_run_is_shown() -> None:
    resender = DecisionResender(after_s=6)
    assert resender.due([DECIDED], {"r"}, 0) == []
    assert resender.due([DECIDED], {"r"}, 6) == [("board", DECISION)]
    assert resender.due([DECIDED], {"r"}, 11) == []
    assert resender.due([DECIDED], set(), 12) == []
    assert resender.due([DECIDED, UNDECIDED], {"r", "u"}, 20) == []
    assert resender.due([DECIDED, UNDECIDED], {"r", "u"}, 26) == [("board", DECISION)]


def test_nothing_is_kept_of_runs_that_have_ended() -> None:
    resender = DecisionResender(after_s=6)
    resender.due([DECIDED], {"r"}, 0)
    resender.due([], {"r"}, 2)
    assert resender.due([DECIDED], {"r"}, 7) == [], "the wait starts over"
