-- The contents of the parts of a CSV store: taskgen.events.csv_ledger.Ledger; `runs` is in runs.sql.

-- Events that are stored: of a run, `count` of them from `first_seq` on. Rows of a run never touch.
CREATE TABLE stored (
    run_id TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (run_id, first_seq)
) WITHOUT ROWID;

CREATE TABLE quarantined (
    digest TEXT PRIMARY KEY
) WITHOUT ROWID;

-- A file is valid up to `length` bytes; the rest was written by a killed process.
CREATE TABLE files (
    name TEXT PRIMARY KEY,
    length INTEGER NOT NULL
) WITHOUT ROWID;
