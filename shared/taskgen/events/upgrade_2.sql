-- Counted the jobs of all attempts at a variant; version 1 had none.
DROP VIEW IF EXISTS campaign_metrics;
