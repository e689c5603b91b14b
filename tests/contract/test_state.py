"""What holds for a state, wherever it is kept."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from taskgen.errors import SettingsError, StoreError, StoreUnavailableError, UnreadableError
from taskgen.run import Outcome
from taskgen.state.opening import open_state
from taskgen.state.state import (
    ALL,
    Changes,
    JobState,
    OutgoingMessage,
    OutOfOrderRow,
    State,
    TaskSetRow,
    TaskSetState,
)
from tests.support.state_rows import run_row

Open = Callable[[], State]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'state.db'}"
    database: str = request.getfixturevalue("postgres_database")
    return database


@pytest.fixture
def another(url: str) -> Iterator[Open]:
    """Opens the state, as any number of processes may."""
    opened: list[State] = []

    def open_again() -> State:
        opened.append(open_state(url))
        return opened[-1]

    yield open_again
    for state in opened:
        state.close()


@pytest.fixture
def state(another: Open) -> State:
    state = another()
    state.claim()
    return state


def kept(state: State, **changes: object) -> None:
    state.write(Changes(**changes))  # type: ignore[arg-type]


def test_everything_is_restored_unchanged(state: State, another: Open) -> None:
    run = run_row(next_seq=7, decision="finished", events=2**40, is_duplicate=True, is_closed=True)
    taskset = TaskSetRow(run.taskset_id, "campaign", TaskSetState.DONE.value, Outcome.FINISHED.value, "{}")
    job = JobState(run.run_id, 3, 0, 2**64 - 2, 2**64 - 1, "EXIT")
    open_job = JobState(run.run_id, 3, 1, 5, None, None)
    out_of_order = OutOfOrderRow("m", run.run_id, "body: 100 % of it?")
    sending = OutgoingMessage("", "queue", "m", "{}")
    kept(
        state,
        runs={run.run_id: run},
        tasksets={taskset.taskset_id: taskset},
        jobs=[job, open_job],
        out_of_order={"m": out_of_order},
        outgoing=[sending],
    )
    later = another()
    assert later.run(run.run_id) == run
    assert later.taskset(run.taskset_id) == taskset
    assert list(later.jobs(run.run_id)) == [job, open_job]
    assert later.out_of_order_ids(run.run_id) == ["m"]
    assert later.out_of_order_body("m") == out_of_order.body
    assert later.outgoing() == [sending]


def test_unknown_rows_are_none_or_empty(state: State) -> None:
    assert state.run("x") is None
    assert state.taskset("x") is None
    assert list(state.jobs("x")) == []
    assert state.out_of_order_ids("x") == []
    assert state.out_of_order_body("x") is None


def test_a_second_writing_replaces_the_first(state: State) -> None:
    run = run_row()
    job = JobState(run.run_id, 0, 0, 5, None, None)
    kept(state, runs={run.run_id: run}, jobs=[job])
    run.outcome, run.next_seq = Outcome.FINISHED.value, 4
    ended = job._replace(end_ms=9, exit_type="EXIT")
    kept(state, runs={run.run_id: run}, jobs=[ended])
    assert state.run(run.run_id) == run
    assert list(state.jobs(run.run_id)) == [ended]


def test_all_jobs_of_a_long_run_come_in_order(state: State) -> None:
    rows = [JobState("run", task_id, job, job, None, None) for task_id in (0, 7) for job in range(1300)]
    others = [JobState(run_id, 0, 0, 1, None, None) for run_id in ("ru", "run ")]
    kept(state, jobs=[*reversed([*rows, *others])])
    assert list(state.jobs("run")) == rows


def test_an_invalid_row_is_an_error_unless_its_run_is_closed(state: State) -> None:
    run = run_row(decision="exploded")
    kept(state, runs={run.run_id: run})
    with pytest.raises(UnreadableError, match="decision"):
        state.run(run.run_id)
    rest = state.rest_of_run(run.run_id)
    assert (rest.taskset_id, rest.board, rest.decision) == (run.taskset_id, run.board, None)
    run.is_closed = True
    kept(state, runs={run.run_id: run})
    assert state.run(run.run_id) is not None


def test_live_runs_are_those_without_an_outcome(state: State) -> None:
    live, ended = run_row(), run_row(outcome="finished")
    kept(state, runs={run.run_id: run for run in (live, ended)})
    assert state.live_runs() == [live.run_id]


def test_finished_rows_are_deleted(state: State) -> None:
    sendings = [OutgoingMessage("", "queue", name, "{}") for name in "ab"]
    out_of_order = {name: OutOfOrderRow(name, run_id, name) for name, run_id in ("ax", "bx", "cy", "dy")}
    kept(state, out_of_order=out_of_order, outgoing=sendings)
    kept(state, applied_messages={"a"}, runs_without_messages={"y"}, sent=[sendings[0].outgoing_id])
    assert (state.out_of_order_ids("x"), state.out_of_order_ids("y")) == (["b"], [])
    assert state.outgoing() == sendings[1:]


def test_counts_add_up_and_campaigns_are_the_latest_and_the_unfinished(state: State) -> None:
    names = [f"campaign {number}" for number in range(5)]
    counts = Counter({(name, "finished"): 1 for name in names})
    kept(state, sent=["x"], counts=counts + Counter({(names[0], "waiting"): 2, (ALL, "running"): 3}))
    kept(state, sent=["x"], counts=Counter({(ALL, "running"): -1, (ALL, "finished"): 1}))
    assert state.run_counts() == {"running": 2, "finished": 1}
    found = state.campaign_counts(2)
    assert found == {
        names[0]: {"finished": 1, "waiting": 2},
        names[3]: {"finished": 1},
        names[4]: {"finished": 1},
    }


def test_the_latest_campaigns_are_those_that_changed_last_whenever_they_began(state: State) -> None:
    old, former, newest = "campaign 1", "campaign 2", "campaign 3"
    kept(state, sent=["x"], counts=Counter({(old, "running"): 1}))
    for name in (former, newest):
        kept(state, sent=["x"], counts=Counter({(name, "finished"): 1}))
    assert set(state.campaign_counts(1)) == {old, newest}
    kept(state, sent=["x"], counts=Counter({(old, "running"): -1, (old, "finished"): 1}))
    assert state.campaign_counts(1) == {old: {"running": 0, "finished": 1}}
    assert set(state.campaign_counts(2)) == {old, newest}


def test_only_the_last_claimant_can_write(state: State, another: Open) -> None:
    run = run_row()
    assert state.claim(), "it was ours already"
    other = another()
    assert not other.claim()
    with pytest.raises(StoreUnavailableError, match="another process"):
        kept(state, runs={run.run_id: run})
    kept(other, runs={run.run_id: run})
    assert not state.claim(), "it has to be read again"
    assert state.run(run.run_id) == run


def test_changes_are_kept_all_or_none(state: State) -> None:
    run = run_row()
    broken = JobState(run.run_id, 0, 0, 5, None, object())  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        kept(state, runs={run.run_id: run}, jobs=[broken])
    assert state.run(run.run_id) is None


def test_an_invalid_url_says_what_to_write() -> None:
    for url in ("mysql://u:secret@h/d", "sqlite:", "state.db", "sqlite://host/path"):
        with pytest.raises(SettingsError, match="sqlite:PATH") as caught:
            open_state(url)
        assert "secret" not in str(caught.value)


def test_the_path_of_a_sqlite_url_follows_the_convention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:a.db", "sqlite:///b.db", f"sqlite:///{tmp_path}/c.db"):
        state = open_state(url)
        state.claim()
        state.close()
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["a.db", "b.db", "c.db"]


def test_one_database_holds_the_states_of_several_owners_and_the_events(postgres_database: str) -> None:
    from taskgen.events.postgres import PostgresHandler  # noqa: PLC0415 - of this test alone

    run = run_row()
    states = [open_state(postgres_database, owner) for owner in ("controller", "my-handler")]
    with PostgresHandler(postgres_database):
        for state in states:
            state.claim()
        kept(states[0], runs={run.run_id: run})
        assert states[1].run(run.run_id) is None
        assert states[0].run(run.run_id) == run
    for state in states:
        state.close()


def test_a_sqlite_file_of_another_owner_or_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = open_state(f"sqlite:{path}", "controller")
    first.claim()
    first.close()
    another = closing(open_state(f"sqlite:{path}", "mine"))
    with another as state, pytest.raises(StoreError, match="does not belong to mine"):
        state.claim()
    nowhere = closing(open_state(f"sqlite:{tmp_path / 'no-folder' / 'state.db'}"))
    with nowhere as state, pytest.raises(StoreError, match="there is no folder"):
        state.claim()


def test_a_state_of_an_older_version_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = open_state(f"sqlite:{path}")
    first.claim()
    first.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    old = closing(open_state(f"sqlite:{path}"))
    with old as state, pytest.raises(StoreError, match=r"older taskgen .* give another path"):
        state.check()
