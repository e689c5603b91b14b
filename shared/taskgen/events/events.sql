-- The tables of the SQL stores, as SQLite spells them; `runs` is in runs.sql, `jobs` in metrics.sql.
CREATE TABLE tasks (
    run_id TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    pkg TEXT,
    executiontime INTEGER,
    criticaltime INTEGER,
    priority INTEGER,
    deadline INTEGER,
    period INTEGER,
    "offset" INTEGER,
    numberofjobs INTEGER,
    quota TEXT,
    caps INTEGER,
    cores INTEGER,
    coreoffset INTEGER,
    config TEXT,
    PRIMARY KEY (run_id, task_id)
) WITHOUT ROWID;

-- time_stamp has no type on purpose: an INTEGER holds up to 2^63 - 1, what is more is kept as text.
CREATE TABLE events (
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    type TEXT NOT NULL,
    time_stamp NOT NULL,
    received_at TEXT NOT NULL,
    attributes TEXT,
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;

-- digest names a row, so that the same bytes given twice are kept once.
CREATE TABLE quarantine (
    digest TEXT PRIMARY KEY,
    received_at TEXT NOT NULL,
    board TEXT NOT NULL,
    run_id TEXT,
    reason TEXT NOT NULL,
    data BLOB NOT NULL
);
