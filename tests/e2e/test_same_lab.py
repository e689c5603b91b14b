"""The same campaign in one process and through the services gives the same data."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from taskgen.distributor import Distributor
from taskgen.events.sql import SqliteHandler, read_events, read_jobs, read_tasks
from taskgen.events.verify import verify
from taskgen.results import load
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.lab import lab, results, stored_runs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

BOARDS = {"count": 2, "speed": 50, "seed": 7}


def campaign() -> TaskSet:
    return TaskSet(
        [
            Task(pkg="hey", period=[40, 60], numberofjobs=5, priority=1),
            Task(pkg="pi", config={"arg1": [50, 5000]}, period=100, numberofjobs=[1, 3], priority=2),
            Task(pkg="tumatmul", period=1000, offset=5, quota=["1M", "1K"], priority=128, deadline=90),
        ]
    )


def data(path: Path) -> list[dict[str, Any]]:
    """All that a database says of its runs but their ids and times; time stamps relative to the first."""
    return [run_data(path, run.run_id, run.variant, run.attempt, run.outcome) for run in stored_runs(path)]


def run_data(path: Path, run_id: str, variant: int, attempt: int, outcome: Outcome | None) -> dict[str, Any]:
    events = list(read_events(path, run_id))
    start = events[0].time_stamp
    jobs = [job._asdict() for job in read_jobs(path, run_id)]
    return {
        "run": (variant, attempt, outcome),
        "tasks": read_tasks(path, run_id),
        "events": [(e.seq, e.task_id, e.type, e.time_stamp - start, e.attributes) for e in events],
        "jobs": [
            {name: job[name] for name in ("task_id", "job", "exit_type", "response_ms")} for job in jobs
        ],
    }


def test_one_process_and_the_services_store_the_same(amqp_vhost_url: str, tmp_path: Path) -> None:
    alone = tmp_path / "alone.db"
    with (
        run_boards(**BOARDS) as boards,  # type: ignore[arg-type]
        SqliteHandler(alone) as handler,
        Distributor(boards, event_handler=handler) as distributor,
    ):
        distributor.start(campaign())
    with (
        run_boards(**BOARDS) as boards,  # type: ignore[arg-type]
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        services.sqlite_sink()
        services.csv_sink()
        services.controller()
        services.distributor()
        submitted = ear.submit(campaign())
        wait_until(lambda: len(results(ear)) == len(submitted), 90, "every variant to have a result")
        wait_until(
            lambda: len([run for run in stored_runs(services.events_db) if run.outcome]) == len(submitted),
            30,
            "the sink to have them",
        )
        stores = [f"sqlite:{services.events_db}", f"csv:{services.parts}"]
        wait_until(lambda: verify(stores).is_clean, 30, "the stores to agree")
        report = verify(stores)
    assert report.ended == len(submitted) == 16
    assert data(services.events_db) == data(alone)


METRICS = [
    "task_id", "job", "exit_type", "response_ms", "deadline_ms", "lateness_ms", "tardiness_ms", "is_miss",
    "is_cut_off", "skipped_releases_before", "release_jitter_ms", "cpu_ms",
]  # fmt: skip


def metrics(store: str) -> pd.DataFrame:
    """The metrics of all jobs, without what a second campaign has otherwise: ids and the board's clock."""
    found = load(store)
    joined = found.jobs.merge(found.runs[["run_id", "variant"]], on="run_id")
    ordered = joined.sort_values(["variant", "task_id", "job"]).reset_index(drop=True)
    return ordered[["variant", *METRICS]]


@pytest.mark.parametrize("dialect", ["old", "new", "newest"])
def test_boards_of_each_generation_give_the_same_metrics_in_every_store_of_the_services(
    dialect: str, amqp_vhost_url: str, postgres_database: str, tmp_path: Path
) -> None:
    tasks = [
        Task(pkg="tumatmul", period=100, numberofjobs=4, deadline=50, config={"arg1": [20, 70, 120]}),
        Task(pkg="hey", period=50, offset=5, numberofjobs=6, priority=1),
    ]
    with (
        run_boards(2, speed=20, dialect=dialect) as boards,
        SqliteHandler(tmp_path / "alone.db") as handler,
        Distributor(boards, event_handler=handler) as distributor,
    ):
        distributor.start(TaskSet(tasks))
    with (
        run_boards(2, speed=20, dialect=dialect) as boards,
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        services.sqlite_sink()
        services.csv_sink()
        services.postgres_sink(postgres_database)
        services.controller()
        services.distributor()
        submitted = ear.submit(TaskSet(tasks))
        wait_until(lambda: len(results(ear)) == len(submitted) == 3, 90, "every variant to have a result")
        stores = [f"sqlite:{services.events_db}", f"csv:{services.parts}", postgres_database]
        wait_until(lambda: is_complete(stores, 3), 30, "the sinks to have them")
    expected = metrics(str(tmp_path / "alone.db"))
    assert len(expected) == 3 * (4 + 6)
    assert expected.is_miss.sum() >= 8
    for store in stores:
        pd.testing.assert_frame_equal(metrics(store), expected)


def is_complete(stores: list[str], runs: int) -> bool:
    """Whether all stores have the same runs, so many of which have ended."""
    report = verify(stores)
    return report.is_clean and report.ended == runs


def test_a_handler_behind_the_queue_records_results_and_says_why_it_stops(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(count=1, speed=5) as boards,
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        services.sqlite_sink()
        services.controller(handler="tests.support.own_handlers:RecordsAndStops")
        services.distributor()
        ear.submit(TaskSet([Task(pkg="hey", period=100, numberofjobs=50)]))
        wait_until(lambda: len(results(ear)) == 1, 60, "the run to have ended")
        (ended,) = results(ear)

        def recorded() -> list[tuple[str, str]]:
            with closing(sqlite3.connect(services.events_db)) as connection:
                return connection.execute("SELECT name, value FROM results").fetchall()

        wait_until(lambda: len(recorded()) == 1, 30, "the results to be stored")
        assert (ended.outcome, ended.reason) == (Outcome.STOPPED_BY_RULE, "a job ended by itself")
        assert int(dict(recorded())["jobs_seen"]) >= 1
