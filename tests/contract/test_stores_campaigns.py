"""What the SQL stores keep of campaigns, variants and recorded results."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from taskgen.distributor import Distributor
from taskgen.event import DefaultEventHandler, Event, Profile, Stop, events_of
from taskgen.events.base import StoringHandler
from taskgen.events.postgres import PostgresHandler
from taskgen.events.sql import SqliteHandler
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet

Query = Callable[[str], list[tuple[Any, ...]]]


class StopsAtTheFirstEnd(DefaultEventHandler):
    """Records the response time of the first job, and ends the run."""

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool | Stop:
        super().__taskset_event__(taskset, event)
        assert taskset.run is not None
        assert all(isinstance(one, Event) for one in events_of(event))
        responses = [job.response_ms for task in taskset for job in task.jobs if job.exit_type]
        if not responses:
            return True
        taskset.run.record(first_response_ms=responses[0], labels=["a", 1])
        return Stop(f"task 0 took {responses[0]} ms")


class CampaignsContract:
    make: Callable[[], StoringHandler]
    query: Query

    def test_two_campaigns_can_be_told_apart_and_have_their_outcomes(self, tmp_path: Path) -> None:
        tasks = TaskSet([Task(pkg="hey", period=[40, 60], numberofjobs=2, config={"arg1": [1, 2]})])
        with (
            run_boards(count=2, speed=50) as boards,
            self.make() as store,
            Distributor(boards, event_handler=store) as distributor,
        ):
            distributor.start(tasks, name="first", note="on a Monday")
            distributor.start(tasks)
        rows = self.query(
            "SELECT name, note, user_name <> '', python_version <> '', command <> '' FROM campaigns"
        )
        assert sorted(map(tuple, rows)) == sorted([("", "", 1, 1, 1), ("first", "on a Monday", 1, 1, 1)])
        metrics = "SELECT name, variants, runs, finished, board_lost, incomplete, jobs FROM campaign_metrics"
        assert sorted((name, *map(int, counts)) for name, *counts in self.query(metrics)) == [
            ("", 4, 4, 4, 0, 0, 8),
            ("first", 4, 4, 4, 0, 0, 8),
        ]

    def test_a_variant_has_the_values_of_varying_parameters_and_its_source(self) -> None:
        tasks = TaskSet(
            [
                Task(pkg="hey", period=100, priority=[5, 9]),
                Task(pkg="pi", period=100, config={"arg1": [40], "arg2": 7}),
            ],
            "mine.json",
        )
        with (
            run_boards(count=1, speed=50) as boards,
            self.make() as store,
            Distributor(boards, event_handler=store) as distributor,
        ):
            distributor.start(tasks)
        rows = self.query("SELECT variant, source, parameters FROM variants")
        assert sorted((variant, source, json.loads(text)) for variant, source, text in rows) == [
            (0, "mine.json", {"task0.priority": 5, "task1.config.arg1": 40}),
            (1, "mine.json", {"task0.priority": 9, "task1.config.arg1": 40}),
        ]

    def test_the_binaries_that_a_run_had_are_known_by_their_digest(self, tmp_path: Path) -> None:
        (tmp_path / "hey").write_bytes(b"a program")
        with (
            run_boards(count=1, speed=50, dialect="old") as boards,
            self.make() as store,
            Distributor(boards, event_handler=store, binaries=tmp_path) as distributor,
        ):
            distributor.start(TaskSet([Task(pkg="hey", period=100)]))
            (tmp_path / "hey").write_bytes(b"another program")
            distributor.start(TaskSet([Task(pkg="hey", period=100)]))
        digests = self.query("SELECT pkg, sha256 FROM binaries ORDER BY run_id")
        assert [pkg for pkg, _ in digests] == ["hey", "hey"]
        assert digests[0][1] != digests[1][1]

    def test_what_a_handler_recorded_and_why_it_stopped_is_stored(self) -> None:
        handler = StopsAtTheFirstEnd()
        with (
            run_boards(count=1, speed=50) as boards,
            self.make() as store,
            Distributor(boards, event_handler=[handler, store]) as distributor,
        ):
            distributor.start(TaskSet([Task(pkg="hey", period=100, numberofjobs=9)]))
        ((outcome, reason),) = self.query("SELECT outcome, reason FROM runs")
        results = {name: json.loads(value) for name, value in self.query("SELECT name, value FROM results")}
        assert outcome == Outcome.STOPPED_BY_RULE
        assert reason == f"task 0 took {results['first_response_ms']} ms"
        assert results["labels"] == ["a", 1]


class TestSqliteCampaigns(CampaignsContract):
    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path) -> None:
        path = tmp_path / "events.db"
        self.make = lambda: SqliteHandler(path)

        def query(statement: str) -> list[tuple[Any, ...]]:
            with closing(sqlite3.connect(path)) as connection:
                return connection.execute(statement).fetchall()

        self.query = query


class TestPostgresCampaigns(CampaignsContract):
    @pytest.fixture(autouse=True)
    def _store(self, postgres_database: str) -> None:
        self.make = lambda: PostgresHandler(postgres_database)

        def query(statement: str) -> list[tuple[Any, ...]]:
            with psycopg.connect(postgres_database) as connection:
                return connection.execute(statement.encode()).fetchall()

        self.query = query
