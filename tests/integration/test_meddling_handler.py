"""What a board said is stored, whatever a user's handler does to the dictionary that it is given."""

from __future__ import annotations

from pathlib import Path

from taskgen.distributor import Distributor
from taskgen.event import DefaultEventHandler, Profile, Stop
from taskgen.events.sql import SqliteHandler, read_events, read_runs
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet


class Meddling(DefaultEventHandler):
    """Decides, and leaves nothing of the events behind."""

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        running = super().__taskset_event__(taskset, event)
        event["profile"]["events"]["event"].clear()
        return running


def test_a_handler_that_empties_the_profile_takes_nothing_from_the_store(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    taskset = TaskSet([Task(pkg="hey", period=10, numberofjobs=3)])
    with (
        run_boards(1, speed=100) as boards,
        SqliteHandler(path) as store,
        Distributor(boards, event_handler=[Meddling(), store]) as distributor,
    ):
        campaign = distributor.start(taskset)
    assert campaign.outcomes == {Outcome.FINISHED: 1}
    (run,) = read_runs(path)
    types = [row.type for row in read_events(path, run.run_id)]
    assert types == ["START", "EXIT"] * 3 + ["JOBS_DONE"]
    assert run.events == len(types)
