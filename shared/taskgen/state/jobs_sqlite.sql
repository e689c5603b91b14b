-- The times have no type on purpose: an INTEGER holds up to 2^63 - 1 ms, what is more is kept as text.
CREATE TABLE jobs (
    run_id TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    job INTEGER NOT NULL,
    start_ms,
    end_ms,
    exit_type TEXT,
    PRIMARY KEY (run_id, task_id, job)
) WITHOUT ROWID;
