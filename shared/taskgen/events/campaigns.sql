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

CREATE VIEW campaign_metrics AS
SELECT campaigns.campaign_id, campaigns.name, campaigns.started_at,
       max(runs.ended_at) AS ended_at,
       count(DISTINCT variants.taskset_id) AS variants,
       count(runs.run_id) AS runs,
       sum(CASE WHEN outcome = 'finished' THEN 1 ELSE 0 END) AS finished,
       sum(CASE WHEN outcome = 'stopped_by_rule' THEN 1 ELSE 0 END) AS stopped_by_rule,
       sum(CASE WHEN outcome = 'stopped_by_user' THEN 1 ELSE 0 END) AS stopped_by_user,
       sum(CASE WHEN outcome = 'timed_out' THEN 1 ELSE 0 END) AS timed_out,
       sum(CASE WHEN outcome = 'board_lost' THEN 1 ELSE 0 END) AS board_lost,
       sum(CASE WHEN outcome = 'board_error' THEN 1 ELSE 0 END) AS board_error,
       sum(CASE WHEN outcome = 'distributor_lost' THEN 1 ELSE 0 END) AS distributor_lost,
       sum(CASE WHEN run_metrics.run_id IS NULL THEN 1 ELSE 0 END) AS incomplete,
       sum(coalesce(run_metrics.jobs, 0)) AS jobs,
       sum(coalesce(run_metrics.misses, 0)) AS misses,
       sum(coalesce(run_metrics.skipped_releases, 0)) AS skipped_releases
FROM campaigns
LEFT JOIN variants ON variants.campaign_id = campaigns.campaign_id
LEFT JOIN runs ON runs.taskset_id = variants.taskset_id
LEFT JOIN run_metrics ON run_metrics.run_id = runs.run_id
GROUP BY campaigns.campaign_id, campaigns.name, campaigns.started_at;
