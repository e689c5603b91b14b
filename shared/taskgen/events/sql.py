"""Events in a SQLite database: tables `runs`, `tasks`, `events`, `quarantine` and the view `jobs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from taskgen.event import Quarantined
from taskgen.event_type import EventType
from taskgen.events.accounts import (
    Account,
    Progress,
    accounts,
    accounts_of_runs,
    accounts_of_strays,
    accounts_of_tasks,
    counted,
    holding_of,
)
from taskgen.events.base import Batch, EventRow, StoredEvent, StoringHandler, event_rows
from taskgen.events.sqlite_file import Kind, SqliteFile
from taskgen.events.tables import (
    SQLITE_MAX,
    JobRow,
    end_values,
    ended_runs,
    event_from,
    job_from,
    known_runs,
    quarantine_values,
    quarantined_from,
    run_from,
    run_values,
    stray_from,
    task_of_run,
    task_values,
)
from taskgen.run import Run

_KIND: Final = Kind("an event database of taskgen", 0x7461736B, 1, ("runs.sql", "events.sql", "jobs.sql"))

KNOW_RUN: Final = (
    "INSERT INTO runs (run_id, taskset_id, board, attempt, variant, started_at) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
END_RUN: Final = (
    "INSERT INTO runs (run_id, taskset_id, board, attempt, variant, started_at, ended_at, outcome, reason, "
    "events) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id) DO UPDATE SET "
    "ended_at = excluded.ended_at, outcome = excluded.outcome, reason = excluded.reason, "
    "events = excluded.events WHERE runs.outcome IS NULL"
)
RUNS: Final = (
    "SELECT run_id, taskset_id, board, attempt, variant, started_at, ended_at, outcome, reason, events "
    "FROM runs ORDER BY run_id"
)
_OF_A_TASK: Final = ", ".join(f"'{kind}'" for kind in EventType if kind is not EventType.EXTERNAL)
STRAYS: Final = (
    f"SELECT run_id, seq FROM events WHERE type IN ({_OF_A_TASK}) AND NOT EXISTS "  # noqa: S608 - of our own
    "(SELECT 1 FROM tasks WHERE tasks.run_id = events.run_id AND tasks.task_id = events.task_id) "
    "AND EXISTS (SELECT 1 FROM tasks WHERE tasks.run_id = events.run_id)"
)
"""Events of tasks that their run does not have, though it has some; an `EXTERNAL` is no task's."""
_TASK: Final = (
    "INSERT INTO tasks (run_id, task_id, pkg, executiontime, criticaltime, priority, deadline, period, "
    '"offset", numberofjobs, quota, caps, cores, coreoffset, config) '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_EVENT: Final = (
    "INSERT INTO events (run_id, seq, task_id, type, time_stamp, received_at, attributes) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_QUARANTINE: Final = (
    "INSERT INTO quarantine (digest, received_at, board, run_id, reason, data) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)


class SqliteHandler(StoringHandler):
    """Stores events in a SQLite database; several handlers and processes may write the same file."""

    def __init__(self, path: str | Path, *, busy_timeout_s: float = 30.0) -> None:
        """Open the database, and make it if it is not there.

        Args:
            path: the file; its folder has to exist.
            busy_timeout_s: how long to wait for another writer before `StoreUnavailableError`.

        Raises:
            StoreError: there is something else at that path, or it cannot be opened.
        """
        super().__init__()
        self._file = SqliteFile(Path(path), _KIND, busy_timeout_s)

    def check(self) -> None:
        """See that the database takes writes."""
        self._file.check_writable()

    def _write(self, batch: Batch) -> None:
        tasks = [task_values(run, task) for run, tasks in batch.started for task in tasks]
        with self._file.transaction() as connection:
            connection.executemany(KNOW_RUN, map(run_values, known_runs(batch)))
            connection.executemany(_TASK, tasks)
            for run, events in batch.events:
                connection.executemany(_EVENT, _stored(event_rows(run, events), events.time_stamps))
            connection.executemany(END_RUN, map(end_values, ended_runs(batch)))
            connection.executemany(_QUARANTINE, map(quarantine_values, batch.quarantined))

    def _release(self) -> None:
        self._file.close()


def _stored(rows: Iterator[StoredEvent], time_stamps: list[int]) -> Iterable[tuple[Any, ...]]:
    """Events as rows of the table: what SQLite has no integer for becomes a text."""
    if max(time_stamps) <= SQLITE_MAX:
        return list(rows)
    return [(*row[:4], row[4] if row[4] <= SQLITE_MAX else str(row[4]), *row[5:]) for row in rows]


class SqliteReader:
    """Reads such a database as it is at one moment; see `taskgen.events.readers.StoreReader`."""

    knows_ends: Final = True
    keeps_tasks: Final = True

    def __init__(self, path: str | Path) -> None:
        """Open the database for reading.

        Raises:
            StoreError: there is no such database.
        """
        self.name = f"sqlite:{path}"
        self._file = SqliteFile(Path(path), _KIND, 30.0, is_read_only=True)

    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id."""
        return self._runs(RUNS)

    def count_runs(self) -> int:
        """How many runs there are."""
        ((count,),) = self._file.rows("SELECT count(*) FROM runs")
        return int(count)

    def last_runs(self, count: int) -> list[Run]:
        """So many of the latest runs, ordered by id."""
        return list(self._runs(f"{RUNS} DESC LIMIT ?", count))[::-1]

    def matching_runs(self, part: str) -> list[Run]:
        """The first runs whose id begins or ends with a text."""
        query = (
            "SELECT run_id, taskset_id, board, attempt, variant, started_at, ended_at, outcome, reason, "
            "events FROM runs WHERE substr(run_id, 1, ?) = ? OR substr(run_id, ?) = ? "
            "ORDER BY run_id LIMIT 100"
        )
        return list(self._runs(query, len(part), part, -len(part), part))

    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq."""
        return self._events("WHERE run_id = ? ORDER BY seq", run_id)

    def tasks(self, run_id: str) -> Iterator[dict[str, Any]]:
        """The parameters of a run's tasks, ordered by id, as `Task` takes them."""
        return (task for _, task in self._tasks("WHERE run_id = ? ORDER BY task_id", run_id))

    def jobs(self, run_id: str) -> Iterator[JobRow]:
        """A run's jobs, ordered by task and number."""
        query = (
            "SELECT run_id, task_id, job, start_ms, end_ms, exit_type, run_time_ms "
            "FROM jobs WHERE run_id = ? ORDER BY task_id, job"
        )
        return self._file.read("jobs", job_from, query, run_id)

    def quarantined(self) -> Iterator[Quarantined]:
        """What was received that is no event, ordered by time."""
        query = "SELECT received_at, board, run_id, reason, data FROM quarantine ORDER BY received_at, digest"
        return self._file.read("quarantine", quarantined_from, query)

    def accounts(self, progress: Progress) -> Iterator[Account]:
        """What there is of each run, ordered by id."""
        events = counted(self._events("ORDER BY run_id, seq"), progress)
        return accounts(
            self.name,
            accounts_of_runs(self.runs()),
            ((run_id, {"events": holding_of(rows)}) for run_id, rows in groupby(events, itemgetter(0))),
            accounts_of_tasks(self._tasks("ORDER BY run_id, task_id")),
            accounts_of_strays(self._file.read("events", stray_from, f"{STRAYS} ORDER BY run_id, seq")),
        )

    def _runs(self, query: str, *values: str | int) -> Iterator[Run]:
        return self._file.read("runs", run_from, query, *values)

    def _events(self, which: str, *values: str) -> Iterator[EventRow]:
        query = f"SELECT run_id, seq, task_id, type, time_stamp, received_at, attributes FROM events {which}"  # noqa: S608 - of our own
        return self._file.read("events", event_from, query, *values)

    def _tasks(self, which: str, *values: str) -> Iterator[tuple[str, dict[str, Any]]]:
        query = (
            "SELECT run_id, task_id, pkg, executiontime, criticaltime, priority, deadline, period, "  # noqa: S608 - of our own
            f'"offset", numberofjobs, quota, caps, cores, coreoffset, config FROM tasks {which}'
        )
        return self._file.read("tasks", task_of_run, query, *values)

    def close(self) -> None:
        """Let go of the file."""
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
