-- The state of a controller, or of a user's handler behind a queue: task-sets and their runs.
-- Tables and columns keep the names of older versions: see `_TABLES` and `_COLUMNS` in state.py.
-- The table `jobs` is in job_states_sqlite.sql and job_states_postgres.sql.
CREATE TABLE ownership (
    id integer PRIMARY KEY,
    name text NOT NULL,
    token text NOT NULL
);

-- `message` is the JSON of the last attempt's TaskSetMessage: the tasks, the boards tried, the reasons.
CREATE TABLE tasksets (
    taskset_id text PRIMARY KEY,
    campaign_id text NOT NULL,
    state text NOT NULL,
    outcome text,
    message text NOT NULL
);

-- `outcome` is null while the run is in progress, `events` until its closing message arrives.
CREATE TABLE runs (
    run_id text PRIMARY KEY,
    taskset_id text NOT NULL,
    campaign_id text NOT NULL,
    board text NOT NULL,
    distributor text NOT NULL,
    attempt integer NOT NULL,
    variant bigint NOT NULL,
    started_at text NOT NULL,
    next_seq bigint NOT NULL,
    done_tasks text NOT NULL,
    decision text,
    decided_because text NOT NULL,
    outcome text,
    reason text NOT NULL,
    ended_at text NOT NULL,
    events bigint,
    is_surplus integer NOT NULL,
    is_settled integer NOT NULL,
    is_closed integer NOT NULL
);
CREATE INDEX runs_live ON runs (run_id) WHERE outcome IS NULL;
CREATE INDEX runs_of_taskset ON runs (taskset_id);

-- Messages that arrived before their turn.
CREATE TABLE early (
    message_id text PRIMARY KEY,
    run_id text NOT NULL,
    body text NOT NULL
);
CREATE INDEX early_of_run ON early (run_id);

-- Outgoing messages that the broker has not confirmed yet.
CREATE TABLE sendings (
    sending_id text PRIMARY KEY,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    message_id text NOT NULL,
    body text NOT NULL
);

-- Counts, kept up to date with every change: scope `all` counts runs, every other scope a campaign's task-sets.
CREATE TABLE tallies (
    scope text NOT NULL,
    name text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (scope, name)
);

-- `changed` grows with every change of any campaign, so it orders them by their latest change.
CREATE TABLE campaigns (
    campaign_id text PRIMARY KEY,
    changed bigint NOT NULL
);
CREATE INDEX campaigns_changed ON campaigns (changed);
