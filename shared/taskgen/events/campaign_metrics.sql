-- Jobs, misses and skipped releases are those of complete runs that are a result of their variant, as in reports:
-- of a variant that was tried again, the attempts that a fault of the lab ended are counted as runs only.
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
       sum(CASE WHEN outcome NOT IN ('board_lost', 'board_error', 'distributor_lost')
           THEN coalesce(run_metrics.jobs, 0) ELSE 0 END) AS jobs,
       sum(CASE WHEN outcome NOT IN ('board_lost', 'board_error', 'distributor_lost')
           THEN coalesce(run_metrics.misses, 0) ELSE 0 END) AS misses,
       sum(CASE WHEN outcome NOT IN ('board_lost', 'board_error', 'distributor_lost')
           THEN coalesce(run_metrics.skipped_releases, 0) ELSE 0 END) AS skipped_releases
FROM campaigns
LEFT JOIN variants ON variants.campaign_id = campaigns.campaign_id
LEFT JOIN runs ON runs.taskset_id = variants.taskset_id
LEFT JOIN run_metrics ON run_metrics.run_id = runs.run_id
GROUP BY campaigns.campaign_id, campaigns.name, campaigns.started_at;
