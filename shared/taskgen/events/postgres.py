"""Events in a PostgreSQL database: the same tables and view as in SQLite."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Final, TypeVar

import psycopg
from typing_extensions import override

from taskgen.errors import StoreError
from taskgen.event import Quarantined
from taskgen.events.accounts import (
    Account,
    Holding,
    Progress,
    accounts,
    accounts_of_runs,
    accounts_of_tasks,
    accounts_without_task,
    counted,
    in_order_of_runs,
)
from taskgen.events.base import Batch, EventRow, StoringHandler, event_rows
from taskgen.events.decoding import decoded, shown
from taskgen.events.postgres_server import Connection, PostgresServer
from taskgen.events.sql_reader import SqlReader
from taskgen.events.tables import (
    END_RUN,
    EVENT,
    INSERT_QUARANTINED,
    INSERT_RESULT,
    INSERT_RUN,
    INSERT_RUN_METRICS,
    INSERT_TASK,
    IS_COMPLETE,
    JOB,
    SELECT_COMPLETE,
    SELECT_COMPLETE_OF,
    SELECT_EVENTS,
    SELECT_QUARANTINED,
    SELECT_RUNS,
    SELECT_TASKS,
    SELECT_TIMED_EVENTS,
    SELECT_WITHOUT_TASK,
    end_values,
    ended_runs,
    event_key_from,
    known_runs,
    metrics_values,
    quarantine_values,
    quarantined_from,
    result_values,
    rows_of_starts,
    run_from,
    run_values,
    schema,
    task_of_run,
    task_values,
    timed_event_from,
    touched_runs,
)
from taskgen.metrics import RunMetrics, job_rows
from taskgen.run import Run

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_VERSION: Final = 3
_SCHEMAS: Final = ("runs.sql", "events.sql", "metrics.sql", "campaigns.sql", "campaign_metrics.sql")
_UPGRADES: Final = {
    1: ("upgrade_1.sql", "metrics.sql", "campaigns.sql"),
    2: ("upgrade_2.sql", "campaign_metrics.sql"),
}
_LOCK: Final = 0x7461736B67656E
"""Advisory lock for creating the tables; an arbitrary number."""
_TRY_TO_WRITE: Final = (
    *(
        f"INSERT INTO {table} SELECT * FROM {table} WHERE false".encode()  # noqa: S608 - names of our own
        for table in ("runs", "tasks", "events", "quarantine", "jobs", "run_metrics")
    ),
    b"UPDATE taskgen_schema SET version = version",
)
"""Needs the same locks and permissions as a batch, and waits for the disk, but changes nothing."""
_SPELLINGS: Final = {
    "?": "%s",
    "time_stamp NOT NULL": "time_stamp numeric(20) NOT NULL",
    "release_ms,\n    end_ms,": "release_ms numeric(20),\n    end_ms numeric(20),",
    " REAL": " double precision",
    " INTEGER": " bigint",
    " BLOB": " bytea",
    " WITHOUT ROWID": "",
}
_FETCHED_ROWS: Final = 20
"""Rows fetched at once; an event can be as large as a frame."""
_JOBS_AT_ONCE: Final = 1_000
_INCOMING: Final = "CREATE TEMPORARY TABLE incoming (LIKE events) ON COMMIT DELETE ROWS"
_TAKE: Final = (
    f"INSERT INTO events ({EVENT}) SELECT * FROM pg_temp.incoming "  # noqa: S608 - of our own
    "ORDER BY run_id, seq ON CONFLICT DO NOTHING"
)


def _spelled(statement: str) -> bytes:
    """Translate a statement from SQLite's spelling to PostgreSQL's."""
    for sqlite, postgres in _SPELLINGS.items():
        statement = statement.replace(sqlite, postgres)
    return statement.encode()


class PostgresHandler(StoringHandler):
    """Stores events in a PostgreSQL database; any number of handlers and processes may share it.

    After a lost connection the next commit connects again.
    """

    def __init__(self, dsn: str) -> None:
        """Connect, and create the tables if necessary.

        Args:
            dsn: `postgresql://user:password@host/database` or any other form that libpq takes.

        Raises:
            StoreUnavailableError: the server is not available now.
            CredentialsError: it refuses this user.
            StoreError: the address is invalid, or the tables are of a newer version.
        """
        super().__init__()
        self._server = PostgresServer(dsn)
        self._connection = self._connected()
        with self._server.transaction(self._connection) as cursor:
            left = cursor.execute(_spelled(SELECT_COMPLETE)).fetchall()
        self._make_metrics([run_id for (run_id,) in left])  # of an older version, or of one that was killed

    def check(self) -> None:
        """Check that the tables accept writes."""
        with self._server.transaction(self._usable_connection()) as cursor:
            for statement in _TRY_TO_WRITE:
                cursor.execute(statement)

    def _write(self, batch: Batch) -> None:
        connection = self._usable_connection()
        tasks = [task_values(run, task) for run, tasks in batch.started for task in tasks]
        tasks.sort(key=lambda values: values[:2])
        with self._server.transaction(connection) as cursor:
            cursor.executemany(_spelled(INSERT_RUN), map(run_values, known_runs(batch)))
            for statement, rows in rows_of_starts(batch):
                cursor.executemany(_spelled(statement), rows)
            cursor.executemany(_spelled(INSERT_TASK), tasks)
            if batch.events:
                _take(cursor, batch)
            cursor.executemany(_spelled(END_RUN), map(end_values, ended_runs(batch)))
            cursor.executemany(
                _spelled(INSERT_QUARANTINED), sorted(map(quarantine_values, batch.quarantined))
            )
            for run_id, results in sorted(batch.results.items()):
                cursor.executemany(_spelled(INSERT_RESULT), result_values(run_id, results))
        self._make_metrics(touched_runs(batch))

    def _make_metrics(self, run_ids: list[str]) -> None:
        """Compute the metrics of those runs that are complete.

        Only after the commit: of two replicas that store the last parts of a run at the same time, neither
        sees what the other has not committed.
        """
        with self._server.transaction(self._usable_connection()) as cursor:
            complete = cursor.execute(_spelled(f"{SELECT_COMPLETE_OF} = ANY(?)"), (run_ids,)).fetchall()
        for (run_id,) in complete:
            with self._server.transaction(self._usable_connection()) as cursor:
                _make_metrics(cursor, run_id)

    def _release(self) -> None:
        self._connection.close()

    def _usable_connection(self) -> Connection:
        if self._connection.closed:
            self._connection = self._connected()
        return self._connection

    def _connected(self) -> Connection:
        connection = self._server.connect()
        with self._server.transaction(connection) as cursor:
            _make_tables(cursor, self._server.name)
            cursor.execute(_INCOMING)
        return connection


def _take(cursor: psycopg.Cursor[tuple[Any, ...]], batch: Batch) -> None:
    """Copy the events; if some are stored already, insert the others through a temporary table.

    Sorted by the key, so that two replicas with the same events cannot deadlock.
    """
    batch.events.sort(key=lambda one: (one[0].run_id, one[1].first_seq))
    try:
        with cursor.connection.transaction():
            _copy(cursor, f"COPY events ({EVENT}) FROM STDIN", batch)
    except psycopg.errors.UniqueViolation:
        _copy(cursor, f"COPY pg_temp.incoming ({EVENT}) FROM STDIN", batch)
        cursor.execute(_TAKE)


def _copy(cursor: psycopg.Cursor[tuple[Any, ...]], statement: str, batch: Batch) -> None:
    with cursor.copy(statement.encode()) as copy:
        for run, events in batch.events:
            for row in event_rows(run, events):
                copy.write_row(row)


def _make_metrics(cursor: psycopg.Cursor[tuple[Any, ...]], run_id: str) -> None:
    """Store the jobs of a run that is complete, and their sums, unless another replica has just done so."""
    cursor.execute("SET LOCAL synchronous_commit = off")  # if it is lost, it is computed again
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (run_id,))
    if not cursor.execute(_spelled(IS_COMPLETE), (run_id,)).fetchone():
        return
    described = cursor.execute(_spelled(f"{SELECT_TASKS} WHERE run_id = ?"), (run_id,)).fetchall()
    metrics = RunMetrics()
    with cursor.connection.cursor("timed_events") as reading:
        reading.itersize = _JOBS_AT_ONCE
        reading.execute(_spelled(SELECT_TIMED_EVENTS), (run_id,))
        tasks = decoded(described, task_of_run, lambda row: f"tasks, row {shown(row[:2])}")
        events = decoded(reading, timed_event_from, lambda _: f"events of run {shown(run_id)}")
        rows = metrics.counted(job_rows(run_id, (task for _, task in tasks), events))
        # In portions: while rows are copied, the connection cannot fetch more events.
        while portion := list(itertools.islice(rows, _JOBS_AT_ONCE)):
            with cursor.copy(f"COPY jobs ({JOB}) FROM STDIN".encode()) as copy:
                for row in portion:
                    copy.write_row(row)
    cursor.execute(_spelled(INSERT_RUN_METRICS), metrics_values(run_id, metrics))


def _make_tables(cursor: psycopg.Cursor[tuple[Any, ...]], name: str) -> None:
    """Create the tables if necessary; one process at a time, because replicas start together."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    version = _version(cursor, name)
    if version is None:
        cursor.execute("CREATE TABLE taskgen_schema (version integer NOT NULL)")
        _run(cursor, _SCHEMAS)
    elif version < _VERSION:
        log.warning("%s: upgrading its tables from version %d", name, version)
        for older in range(version, _VERSION):
            _run(cursor, _UPGRADES[older])
    else:
        return
    cursor.execute("INSERT INTO taskgen_schema (version) VALUES (%s)", (_VERSION,))


def _run(cursor: psycopg.Cursor[tuple[Any, ...]], names: tuple[str, ...]) -> None:
    """Run the statements of `.sql` files."""
    for name in names:
        cursor.execute(_spelled(schema(name)))


def _version(cursor: psycopg.Cursor[tuple[Any, ...]], name: str) -> int | None:
    """The version of the tables; None if there are none."""
    row = cursor.execute("SELECT to_regclass('taskgen_schema') IS NOT NULL").fetchone()
    if row == (False,):
        return None
    row = cursor.execute("SELECT max(version) FROM taskgen_schema").fetchone()
    version = row[0] if row else None
    if version is None or version > _VERSION:
        raise StoreError(
            f"{name}: its tables were created by a newer taskgen (version {version}, this one supports "
            f"{_VERSION}); upgrade taskgen or give another database"
        )
    return int(version)


class PostgresReader(SqlReader):
    """Reads such a database as it is at one moment; see `taskgen.events.readers.StoreReader`."""

    def __init__(self, dsn: str) -> None:
        """Connect for reading.

        Raises:
            StoreUnavailableError: the server is not available now.
            CredentialsError: it refuses this user.
            StoreError: the address is invalid, or there are no such tables.
        """
        self._server = PostgresServer(dsn)
        self.name = self._server.name
        self._connection = self._server.connect()
        self._names = (f"reader_{number}" for number in itertools.count())
        try:
            if not self._begin():
                self._connection.close()
                PostgresHandler(dsn).close()  # upgrades the tables
                self._connection = self._server.connect()
                self._begin()
        except BaseException:
            self._connection.close()
            raise

    def runs(self) -> Iterator[Run]:
        """All runs, ordered by id."""
        return self._read("runs", run_from, f'{SELECT_RUNS} ORDER BY run_id COLLATE "C"')

    def events(self, run_id: str) -> Iterator[EventRow]:
        """A run's events, ordered by seq."""
        return self._read("events", _event_from, f"{SELECT_EVENTS} WHERE run_id = ? ORDER BY seq", run_id)

    def quarantined(self) -> Iterator[Quarantined]:
        """Received bytes that are not events, ordered by time."""
        return self._read("quarantine", quarantined_from, SELECT_QUARANTINED)

    def accounts(self, progress: Progress) -> Iterator[Account]:
        """The store's data of each run, ordered by id."""

        def scan(of: Callable[[str], Holding | None]) -> None:
            # Closed at once: until then nothing else can use the connection.
            with closing(self._copied(SELECT_EVENTS)) as rows:
                events = decoded(rows, _event_from, lambda row: self._where("events", row))
                for event in counted(events, progress):
                    holding = of(event.run_id)
                    if holding is not None:
                        holding.add(event)

        tasks = self._read("tasks", task_of_run, f'{SELECT_TASKS} ORDER BY run_id COLLATE "C", task_id')
        in_order = f'{SELECT_WITHOUT_TASK} ORDER BY run_id COLLATE "C", seq'
        without_task = self._read("events", event_key_from, in_order)
        return accounts(
            self.name,
            accounts_of_runs(self.runs()),
            ((run_id, {"events": holding}) for run_id, holding in in_order_of_runs(scan, Holding)),
            accounts_of_tasks(tasks),
            accounts_without_task(without_task),
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _begin(self) -> bool:
        """Read the database as it is now; returns False if its tables have to be upgraded first."""
        with self._server.translated(), self._connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            version = _version(cursor, self._server.name)
            if version is None:
                raise StoreError(f"{self._server.name}: contains no events of taskgen")
            return version == _VERSION

    @override
    def _read(
        self, table: str, decode: Callable[[tuple[Any, ...]], _T], query: str, *values: str
    ) -> Iterator[_T]:
        return decoded(self._rows(query, *values), decode, lambda row: self._where(table, row))

    def _rows(self, query: str, *values: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, fetched in small portions; several queries may be open."""
        with self._server.translated(), self._connection.cursor(next(self._names)) as cursor:
            cursor.itersize = _FETCHED_ROWS
            cursor.execute(_spelled(query), values)
            yield from cursor

    def _copied(self, query: str) -> Generator[tuple[Any, ...], None, None]:
        """The rows of a query in text format, one by one; no other query may be open."""
        copying = f"COPY ({query}) TO STDOUT".encode()
        with self._server.translated(), self._connection.cursor() as cursor, cursor.copy(copying) as copy:
            yield from copy.rows()

    def _where(self, table: str, row: tuple[Any, ...]) -> str:
        return f"{self.name}: {table}, row {shown(row[:2])}"


def _event_from(row: tuple[Any, ...]) -> EventRow:
    """The event of a row, which may be in text format."""
    run_id, seq, task_id, kind, time_stamp, received_at, attributes = row
    return EventRow(run_id, int(seq), int(task_id), kind, int(time_stamp), received_at, attributes)
