"""The SQLite store, under the name that scripts use: see `taskgen.events.sql`."""

from taskgen.events.sql import SqliteHandler, SqliteReader, read_events, read_jobs, read_runs, read_tasks

__all__ = ["SqliteHandler", "SqliteReader", "read_events", "read_jobs", "read_runs", "read_tasks"]
