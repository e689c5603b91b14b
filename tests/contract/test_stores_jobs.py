"""The table `jobs` of the SQL stores has the jobs and metrics of every run that is completely stored."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgen.event import JOB_ENDS
from taskgen.events.base import StoringHandler
from taskgen.events.postgres import PostgresHandler, PostgresReader
from taskgen.events.sql import SqliteHandler, SqliteReader
from taskgen.metrics import JobRow, job_rows
from taskgen.taskset import TaskSet
from tests.support.profiles import event
from tests.support.store_events import end_run, give, run_id, taskset

_types = st.sampled_from(["START", "NOT_SCHEDULED", "JOBS_DONE", "EXTERNAL", "NEW", *sorted(JOB_ENDS)])
# Twice as likely, so that many jobs are whole.
_moves = st.tuples(_types | st.sampled_from(["START", "EXIT"]), st.integers(0, 1))


class JobsContract:
    make: Callable[[], StoringHandler]
    read: Callable[[], Any]
    query: Callable[[str], list[tuple[Any, ...]]]

    def jobs(self, tasks: TaskSet) -> list[JobRow]:
        with closing(self.read()) as reader:
            return list(reader.jobs(run_id(tasks)))

    def stored_jobs(self, *events: dict[str, Any]) -> list[JobRow]:
        tasks = taskset()
        with self.make() as handler:
            give(handler, tasks, 0, *events)
        return self.jobs(tasks)

    def test_jobs_are_those_of_the_tasks(self) -> None:
        @settings(max_examples=60, deadline=None, database=None)
        @given(st.lists(_moves, max_size=14), st.lists(_moves, max_size=3))
        def are_those_of_the_tasks(moves: list[tuple[str, int]], others: list[tuple[str, int]]) -> None:
            tasks, other = taskset(), taskset()
            with self.make() as handler:
                handler.begin()
                for seq, (kind, task_id) in enumerate(moves):
                    give(handler, tasks, seq, event(kind, task_id, seq * seq))
                for seq, (kind, task_id) in enumerate(others):
                    give(handler, other, seq, event(kind, task_id, seq))
                handler.commit()
            assert [row[:6] for row in self.jobs(tasks)] == [
                (run_id(tasks), task.id or 0, n, job.start, job.end, job.exit_type)
                for task in tasks
                for n, job in enumerate(task.jobs)
            ]

        are_those_of_the_tasks()

    def test_jobs_are_stored_when_the_last_part_of_their_run_is(self) -> None:
        """Replicas store the parts of a run in any order."""
        events = [event("START", 0, 5), event("EXIT", 0, 250), event("START", 0, 205), event("EXIT", 0, 230)]
        parts: dict[str, Callable[[StoringHandler, TaskSet], object]] = {
            "start": lambda handler, tasks: handler.__taskset_start__(tasks),
            "first": lambda handler, tasks: give(handler, tasks, 0, *events[:3]),
            "last": lambda handler, tasks: give(handler, tasks, 3, *events[3:]),
            "end": lambda handler, tasks: end_run(handler, tasks, len(events)),
        }
        for order in permutations(parts):
            tasks = taskset()
            for part in order:
                assert self.stored_metrics(tasks) == (0, None)
                with self.make() as handler:
                    parts[part](handler, tasks)
            assert self.stored_metrics(tasks) == (2, (2, 1, 1, None))
            parameters = [dict(task) for task in tasks]
            timed = [(int(e["@task-id"]), e["@type"], int(e["@time-stamp"]), None) for e in events]
            assert self.jobs(tasks) == list(job_rows(run_id(tasks), parameters, timed))

    def test_a_run_without_all_of_its_events_has_no_metrics(self) -> None:
        tasks = taskset()
        with self.make() as handler:
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, 5), event("EXIT", 0, 250))
            end_run(handler, tasks, 3)
        assert self.stored_metrics(tasks) == (0, None)
        assert len(self.jobs(tasks)) == 1

    def test_the_metrics_of_tasks_are_those_of_their_jobs(self) -> None:
        tasks = taskset()
        responses = [7, 3, 90, 4, 120]
        with self.make() as handler:
            handler.__taskset_start__(tasks)
            for number, response in enumerate(responses):
                start = 1_000 + 200 * number
                give(handler, tasks, 2 * number, event("START", 0, start), event("EXIT", 0, start + response))
            give(handler, tasks, 10, event("START", 0, 3_003), event("EXIT_PERIOD", 0, 3_103))
            end_run(handler, tasks, 12)
        (row,) = self.query(
            "SELECT pkg, jobs, completed, misses, skipped_releases, min_response_ms, mean_response_ms, "
            "median_response_ms, p95_response_ms, p99_response_ms, max_response_ms, jitter_ms "
            f"FROM task_metrics WHERE run_id = '{run_id(tasks)}'"
        )
        assert [row[0], *map(float, row[1:])] == ["hey", 6, 5, 2, 4 + 11, 3, 44.8, 7, 120, 120, 120, 3]

    def stored_metrics(self, tasks: TaskSet) -> tuple[int, tuple[Any, ...] | None]:
        """Number of stored jobs, and the sums of the run."""
        with self.make():
            pass
        of_run = f"WHERE run_id = '{run_id(tasks)}'"
        ((jobs,),) = self.query(f"SELECT count(*) FROM jobs {of_run}")
        sums = self.query(f"SELECT jobs, misses, skipped_releases, utilization FROM run_metrics {of_run}")
        return jobs, sums[0] if sums else None

    def test_a_run_with_events_of_a_task_that_nobody_described_is_incomplete(self) -> None:
        """Its row may have been lost, and with it the deadline: its misses would be counted as none."""
        tasks = taskset()
        with self.make() as handler:
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, 5), event("EXIT", 0, 8), event("START", 77, 5))
            end_run(handler, tasks, 3)
        assert self.stored_metrics(tasks) == (0, None)
        assert [job.task_id for job in self.jobs(tasks)] == [0, 77]

    def test_a_task_that_nobody_described_has_jobs_too(self) -> None:
        (job,) = self.stored_jobs(event("START", 77, 5), event("EXIT", 77, 8))
        assert (job.task_id, job.response_ms) == (77, 3)

    @pytest.mark.parametrize(
        ("start", "end", "response"),
        [
            (2**32 - 10, 5, 15),
            (2**31 + 5, 0, 2**31 - 5),
            (500_000, 300, None),
            (2**32, 2**32 + 7, 7),
            (2**63 - 9, 2**63 - 1, 8),
            (2**63 - 1, 2**63, 1),
            (2**64 - 2, 2**64 - 1, 1),
            (2**64 - 2, 3, 5),
        ],
        ids=[
            "wrap",
            "longest-wrap",
            "reboot",
            "over-32",
            "largest",
            "over-63",
            "over-63-both",
            "64-bit-wrap",
        ],
    )
    def test_the_response_time_copes_with_the_boards_clock(
        self, start: int, end: int, response: int | None
    ) -> None:
        tasks = taskset()
        with self.make() as handler:
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("START", 0, start), event("EXIT", 0, end))
            assert self.jobs(tasks)[0][3:7] == (start, end, "EXIT", response)
            end_run(handler, tasks, 2)
        assert self.stored_metrics(tasks)[0] == 1
        assert self.jobs(tasks)[0][3:7] == (start, end, "EXIT", response)

    def test_the_tasks_of_a_run_are_stored_with_their_parameters(self) -> None:
        tasks = taskset()
        with self.make() as handler:
            handler.__taskset_start__(tasks)
        with closing(self.read()) as reader:
            assert list(reader.tasks(run_id(tasks))) == [dict(task) for task in tasks]


class TestSqliteJobs(JobsContract):
    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path) -> None:
        path = tmp_path / "events.db"
        self.make, self.read = lambda: SqliteHandler(path), lambda: SqliteReader(path)

        def query(statement: str) -> list[tuple[Any, ...]]:
            with closing(sqlite3.connect(path)) as connection:
                return connection.execute(statement).fetchall()

        self.query = query


class TestPostgresJobs(JobsContract):
    @pytest.fixture(autouse=True)
    def _store(self, postgres_database: str) -> None:
        self.make = lambda: PostgresHandler(postgres_database)
        self.read = lambda: PostgresReader(postgres_database)

        def query(statement: str) -> list[tuple[Any, ...]]:
            with psycopg.connect(postgres_database) as connection:
                return connection.execute(statement.encode()).fetchall()

        self.query = query
