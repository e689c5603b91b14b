-- A run, from its first message on; NULL columns are unknown before its end. Also in the ledger of CSV files.
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    taskset_id TEXT NOT NULL,
    board TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    variant INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    outcome TEXT,
    reason TEXT,
    events INTEGER
) WITHOUT ROWID;
