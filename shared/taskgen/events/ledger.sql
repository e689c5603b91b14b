-- What the parts of a CSV store hold: taskgen.events.csv_ledger.Ledger; `runs` is in runs.sql.

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

-- Up to `length` bytes a file is as it should be; what is behind was written by one who was killed.
CREATE TABLE files (
    name TEXT PRIMARY KEY,
    length INTEGER NOT NULL
) WITHOUT ROWID;
