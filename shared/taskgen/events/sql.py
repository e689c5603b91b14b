"""Events in a SQLite database: tables `runs`, `tasks`, `events`, `quarantine` and the view `jobs`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

from typing_extensions import override

from taskgen.event import Quarantined
from taskgen.events.accounts import (
    Account,
    Progress,
    accounts,
    accounts_of_runs,
    accounts_of_tasks,
    accounts_without_task,
    counted,
    holding_of,
)
from taskgen.events.base import Batch, EventRow, StoredEvent, StoringHandler, event_rows
from taskgen.events.sql_reader import SqlReader
from taskgen.events.sqlite_file import Kind, SqliteFile
from taskgen.events.tables import (
    END_RUN,
    INSERT_EVENT,
    INSERT_JOB,
    INSERT_QUARANTINED,
    INSERT_RESULT,
    INSERT_RUN,
    INSERT_RUN_METRICS,
    INSERT_TASK,
    IS_COMPLETE,
    SELECT_COMPLETE,
    SELECT_EVENTS,
    SELECT_QUARANTINED,
    SELECT_RUNS,
    SELECT_TASKS,
    SELECT_TIMED_EVENTS,
    SELECT_WITHOUT_TASK,
    SQLITE_MAX,
    end_values,
    ended_runs,
    event_from,
    event_key_from,
    known_runs,
    metrics_values,
    quarantine_values,
    quarantined_from,
    result_values,
    rows_of_starts,
    run_from,
    run_values,
    task_of_run,
    task_values,
    timed_event_from,
    touched_runs,
)
from taskgen.metrics import JobRow, RunMetrics, job_rows
from taskgen.run import Run

_T = TypeVar("_T")


def make_all_metrics(connection: sqlite3.Connection, without: Container[str] = ()) -> None:
    """Compute the metrics of every complete run that lacks them, except for some."""
    for (run_id,) in connection.execute(SELECT_COMPLETE).fetchall():
        if run_id not in without:
            _make_metrics(connection, run_id)


_KIND: Final = Kind(
    "an event database of taskgen",
    0x7461736B,
    3,
    ("runs.sql", "events.sql", "metrics.sql", "campaigns.sql", "campaign_metrics.sql"),
    upgrades={
        1: ("upgrade_1.sql", "metrics.sql", "campaigns.sql"),
        2: ("upgrade_2.sql", "campaign_metrics.sql"),
    },
    after_upgrade=make_all_metrics,
)


class SqliteHandler(StoringHandler):
    """Stores events in a SQLite database; several handlers and processes may write the same file."""

    def __init__(self, path: str | Path, *, busy_timeout_s: float = 30.0) -> None:
        """Open the database, creating it if necessary.

        Args:
            path: the file; its folder has to exist.
            busy_timeout_s: how long to wait for another writer before `StoreUnavailableError`.

        Raises:
            StoreError: there is something else at that path, or it cannot be opened.
        """
        super().__init__()
        self._file = SqliteFile(Path(path), _KIND, busy_timeout_s)

    def check(self) -> None:
        """Check that the database accepts writes."""
        self._file.check_writable()

    def _write(self, batch: Batch) -> None:
        tasks = [task_values(run, task) for run, tasks in batch.started for task in tasks]
        with self._file.transaction() as connection:
            connection.executemany(INSERT_RUN, map(run_values, known_runs(batch)))
            for statement, rows in rows_of_starts(batch):
                connection.executemany(statement, rows)
            connection.executemany(INSERT_TASK, tasks)
            for run, events in batch.events:
                connection.executemany(INSERT_EVENT, _stored(event_rows(run, events), events.time_stamps))
            connection.executemany(END_RUN, map(end_values, ended_runs(batch)))
            connection.executemany(INSERT_QUARANTINED, map(quarantine_values, batch.quarantined))
            for run_id, results in batch.results.items():
                connection.executemany(INSERT_RESULT, result_values(run_id, results))
            for run_id in touched_runs(batch):
                if connection.execute(IS_COMPLETE, (run_id,)).fetchone():
                    _make_metrics(connection, run_id)

    def _release(self) -> None:
        self._file.close()


def _make_metrics(connection: sqlite3.Connection, run_id: str) -> None:
    """Store the jobs of a run that is complete, and their sums."""
    tasks = [
        task
        for _, task in map(task_of_run, connection.execute(f"{SELECT_TASKS} WHERE run_id = ?", (run_id,)))
    ]
    events = map(timed_event_from, connection.execute(SELECT_TIMED_EVENTS, (run_id,)))
    metrics = RunMetrics()
    rows = metrics.counted(job_rows(run_id, tasks, events))
    connection.executemany(INSERT_JOB, map(_storable_job, rows))
    connection.execute(INSERT_RUN_METRICS, metrics_values(run_id, metrics))


def _storable_job(row: JobRow) -> tuple[Any, ...]:
    """A job as a row of the table: time stamps beyond SQLite's integers become text."""
    if max(row.release_ms or 0, row.end_ms or 0) <= SQLITE_MAX:
        return row
    stamps = [None if stamp is None else str(stamp) for stamp in (row.release_ms, row.end_ms)]
    return (*row[:3], *stamps, *row[5:])


def _stored(rows: Iterator[StoredEvent], time_stamps: list[int]) -> Iterable[tuple[Any, ...]]:
    """Events as rows of the table: time stamps beyond SQLite's integers become text."""
    if max(time_stamps) <= SQLITE_MAX:
        return list(rows)
    return list(map(storable_event, rows))


def storable_event(row: StoredEvent) -> tuple[Any, ...]:
    """An event as a row of the table: a time stamp beyond SQLite's integers becomes text."""
    return row if row[4] <= SQLITE_MAX else (*row[:4], str(row[4]), *row[5:])


class SqliteReader(SqlReader):
    """Reads such a database as it is at one moment; see `taskgen.events.readers.StoreReader`."""

    def __init__(self, path: str | Path) -> None:
        """Open the database for reading.

        Raises:
            StoreError: there is no such database.
        """
        self.name = f"sqlite:{path}"
        self._file = SqliteFile(Path(path), _KIND, 30.0, is_read_only=True)

    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id."""
        return self._runs(f"{SELECT_RUNS} ORDER BY run_id")

    def count_runs(self) -> int:
        """How many runs there are."""
        ((count,),) = self._file.rows("SELECT count(*) FROM runs")
        return int(count)

    def last_runs(self, count: int) -> list[Run]:
        """The latest runs, ordered by id."""
        return list(self._runs(f"{SELECT_RUNS} ORDER BY run_id DESC LIMIT ?", count))[::-1]

    def matching_runs(self, part: str) -> list[Run]:
        """The first runs whose id begins or ends with a text."""
        query = (
            f"{SELECT_RUNS} WHERE substr(run_id, 1, ?) = ? OR substr(run_id, ?) = ? ORDER BY run_id LIMIT 100"
        )
        return list(self._runs(query, len(part), part, -len(part), part))

    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq."""
        return self._events("WHERE run_id = ? ORDER BY seq", run_id)

    def quarantined(self) -> Iterator[Quarantined]:
        """Received bytes that are not events, ordered by time."""
        return self._file.read("quarantine", quarantined_from, SELECT_QUARANTINED)

    def accounts(self, progress: Progress) -> Iterator[Account]:
        """The store's data of each run, ordered by id."""
        events = counted(self._events("ORDER BY run_id, seq"), progress)
        return accounts(
            self.name,
            accounts_of_runs(self.runs()),
            ((run_id, {"events": holding_of(rows)}) for run_id, rows in groupby(events, itemgetter(0))),
            accounts_of_tasks(self._tasks("ORDER BY run_id, task_id")),
            accounts_without_task(
                self._file.read("events", event_key_from, f"{SELECT_WITHOUT_TASK} ORDER BY run_id, seq")
            ),
        )

    def _runs(self, query: str, *values: str | int) -> Iterator[Run]:
        return self._file.read("runs", run_from, query, *values)

    def _events(self, which: str, *values: str) -> Iterator[EventRow]:
        return self._file.read("events", event_from, f"{SELECT_EVENTS} {which}", *values)

    def _tasks(self, which: str, *values: str) -> Iterator[tuple[str, dict[str, Any]]]:
        return self._file.read("tasks", task_of_run, f"{SELECT_TASKS} {which}", *values)

    @override
    def _read(
        self, table: str, decode: Callable[[tuple[Any, ...]], _T], query: str, *values: str
    ) -> Iterator[_T]:
        return self._file.read(table, decode, query, *values)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_runs(path: str | Path) -> list[Run]:
    """All runs of a database, ordered by id; `outcome` is None for those that have not ended."""
    with closing(SqliteReader(path)) as reader:
        return list(reader.runs())


def read_events(path: str | Path, run_id: str) -> Iterator[EventRow]:
    """A run's events, ordered by seq, one by one."""
    with closing(SqliteReader(path)) as reader:
        yield from reader.events(run_id)


def read_jobs(path: str | Path, run_id: str) -> list[JobRow]:
    """A run's jobs, ordered by task and number."""
    with closing(SqliteReader(path)) as reader:
        return list(reader.jobs(run_id))


def read_tasks(path: str | Path, run_id: str) -> list[dict[str, Any]]:
    """The parameters of a run's tasks, ordered by id, as `Task` takes them."""
    with closing(SqliteReader(path)) as reader:
        return list(reader.tasks(run_id))
