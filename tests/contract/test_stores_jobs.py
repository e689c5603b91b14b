"""The view `jobs` of the SQL stores pairs events as the tasks of a task-set do."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgen.event import JOB_ENDS
from taskgen.events.base import StoringHandler
from taskgen.events.postgres import PostgresHandler, PostgresReader
from taskgen.events.sql import SqliteHandler, SqliteReader
from taskgen.events.tables import JobRow
from taskgen.taskset import TaskSet
from tests.support.profiles import event
from tests.support.store_events import give, run_id, taskset

_types = st.sampled_from(["START", "NOT_SCHEDULED", "JOBS_DONE", "EXTERNAL", "NEW", *sorted(JOB_ENDS)])
# Twice as likely, so that many jobs are whole.
_moves = st.tuples(_types | st.sampled_from(["START", "EXIT"]), st.integers(0, 1))


class JobsContract:
    make: Callable[[], StoringHandler]
    read: Callable[[], Any]

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
            assert self.jobs(tasks) == [
                JobRow(run_id(tasks), task.id or 0, n, job.start, job.end, job.exit_type, job.run_time_ms)
                for task in tasks
                for n, job in enumerate(task.jobs)
            ]

        are_those_of_the_tasks()

    def test_a_task_that_nobody_described_has_jobs_too(self) -> None:
        (job,) = self.stored_jobs(event("START", 77, 5), event("EXIT", 77, 8))
        assert (job.task_id, job.run_time_ms) == (77, 3)

    @pytest.mark.parametrize(
        ("start", "end", "run_time"),
        [
            (2**32 - 10, 5, 15),
            (2**31 + 5, 0, 2**31 - 5),
            (500_000, 300, None),
            (2**32, 2**32 + 7, 7),
            (2**63 - 9, 2**63 - 1, 8),
            (2**63 - 1, 2**63, None),
            (2**64 - 2, 2**64 - 1, None),
            (2**64 - 2, 3, None),
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
    def test_the_run_time_copes_with_the_boards_clock(
        self, start: int, end: int, run_time: int | None
    ) -> None:
        (job,) = self.stored_jobs(event("START", 0, start), event("EXIT", 0, end))
        assert job[3:] == (start, end, "EXIT", run_time)

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


class TestPostgresJobs(JobsContract):
    @pytest.fixture(autouse=True)
    def _store(self, postgres_database: str) -> None:
        self.make = lambda: PostgresHandler(postgres_database)
        self.read = lambda: PostgresReader(postgres_database)
