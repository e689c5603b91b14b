-- What a controller, or a user's handler behind a queue, knows of task-sets and their runs.
-- The table `jobs` is in jobs_sqlite.sql and jobs_postgres.sql.
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

-- `outcome` is null while the run is on; `events` until its closing message came.
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

-- Messages that came before their turn.
CREATE TABLE early (
    message_id text PRIMARY KEY,
    run_id text NOT NULL,
    body text NOT NULL
);
CREATE INDEX early_of_run ON early (run_id);

-- Messages that the broker has not confirmed yet.
CREATE TABLE sendings (
    sending_id text PRIMARY KEY,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    message_id text NOT NULL,
    body text NOT NULL
);

-- How many there are, so that nobody has to count: scope `all` counts runs, any other one campaign's task-sets.
CREATE TABLE tallies (
    scope text NOT NULL,
    name text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (scope, name)
);

-- `changed` is greater than that of every campaign that changed before.
CREATE TABLE campaigns (
    campaign_id text PRIMARY KEY,
    changed bigint NOT NULL
);
CREATE INDEX campaigns_changed ON campaigns (changed);
