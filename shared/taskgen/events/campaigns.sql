-- Where runs come from, and what handlers recorded about them.

-- One `taskgen run` or `taskgen submit`.
CREATE TABLE campaigns (
    campaign_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    note TEXT NOT NULL,
    user_name TEXT NOT NULL,
    host TEXT NOT NULL,
    taskgen_version TEXT NOT NULL,
    python_version TEXT NOT NULL,
    git_commit TEXT NOT NULL,
    command TEXT NOT NULL,
    started_at TEXT NOT NULL
) WITHOUT ROWID;

-- parameters is JSON of those that vary, such as {"task1.priority": 5, "task1.config.arg1": 40}.
CREATE TABLE variants (
    taskset_id TEXT PRIMARY KEY,
    campaign_id TEXT NOT NULL,
    source TEXT NOT NULL,
    variant INTEGER NOT NULL,
    parameters TEXT NOT NULL
) WITHOUT ROWID;

-- The binaries that the distributor had for a run.
CREATE TABLE binaries (
    run_id TEXT NOT NULL,
    pkg TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (run_id, pkg)
) WITHOUT ROWID;

-- What handlers recorded with taskset.run.record(); value is JSON.
CREATE TABLE results (
    run_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;
