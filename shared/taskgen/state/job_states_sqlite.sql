-- The times have no type on purpose: numbers above 2^63 - 1, the largest INTEGER, are stored as text.
CREATE TABLE jobs (
    run_id TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    job INTEGER NOT NULL,
    start_ms,
    end_ms,
    exit_type TEXT,
    PRIMARY KEY (run_id, task_id, job)
) WITHOUT ROWID;
