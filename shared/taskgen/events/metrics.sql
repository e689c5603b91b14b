-- Metrics of a run's events, computed by taskgen.metrics once the run has ended and is stored completely;
-- docs/time.md defines each column. A run that is not in run_metrics is in progress or incomplete.

-- release_ms and end_ms have no type on purpose, like events.time_stamp.
CREATE TABLE jobs (
    run_id TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    job INTEGER NOT NULL,
    release_ms,
    end_ms,
    exit_type TEXT,
    response_ms INTEGER,
    deadline_ms INTEGER,
    lateness_ms INTEGER,
    tardiness_ms INTEGER,
    is_miss INTEGER,
    is_cut_off INTEGER NOT NULL,
    skipped_releases_before INTEGER,
    release_jitter_ms INTEGER,
    cpu_ms INTEGER,
    PRIMARY KEY (run_id, task_id, job)
) WITHOUT ROWID;

CREATE TABLE run_metrics (
    run_id TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL,
    misses INTEGER NOT NULL,
    skipped_releases INTEGER NOT NULL,
    utilization REAL
) WITHOUT ROWID;

-- Statistics of the response time are over the jobs that ended by themselves with exit value 0.
CREATE VIEW task_metrics AS
WITH ranked AS (
    SELECT run_id, task_id, response_ms,
           row_number() OVER (PARTITION BY run_id, task_id ORDER BY response_ms) AS place,
           count(*) OVER (PARTITION BY run_id, task_id) AS completed
    FROM jobs
    WHERE exit_type = 'EXIT' AND response_ms IS NOT NULL
), responses AS (
    SELECT run_id, task_id, completed,
           min(response_ms) AS min_response_ms,
           avg(response_ms) AS mean_response_ms,
           avg(CASE WHEN 2 * place BETWEEN completed AND completed + 2 THEN response_ms END)
               AS median_response_ms,
           min(CASE WHEN 100 * place >= 95 * completed THEN response_ms END) AS p95_response_ms,
           min(CASE WHEN 100 * place >= 99 * completed THEN response_ms END) AS p99_response_ms,
           max(response_ms) AS max_response_ms
    FROM ranked
    GROUP BY run_id, task_id, completed
), counted AS (
    SELECT run_id, task_id,
           count(*) AS jobs,
           sum(coalesce(is_miss, 0)) AS misses,
           sum(coalesce(skipped_releases_before, 0)) AS skipped_releases,
           sum(CASE WHEN exit_type IN ('EXIT_ERROR', 'OUT_OF_QUOTA', 'OUT_OF_CAPS') THEN 1 ELSE 0 END)
               AS failures,
           sum(is_cut_off) AS cut_off,
           max(release_jitter_ms) - min(release_jitter_ms) AS jitter_ms
    FROM jobs
    GROUP BY run_id, task_id
)
SELECT counted.run_id, counted.task_id, pkg, jobs, coalesce(completed, 0) AS completed, misses,
       skipped_releases, failures, cut_off, min_response_ms, mean_response_ms, median_response_ms,
       p95_response_ms, p99_response_ms, max_response_ms, jitter_ms
FROM counted
LEFT JOIN responses ON responses.run_id = counted.run_id AND responses.task_id = counted.task_id
LEFT JOIN tasks ON tasks.run_id = counted.run_id AND tasks.task_id = counted.task_id;
