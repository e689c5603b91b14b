-- The tables of taskgen.events.postgres.PostgresHandler; the view `jobs` is in jobs.sql.
CREATE TABLE taskgen_schema (
    version integer NOT NULL
);

CREATE TABLE runs (
    run_id text PRIMARY KEY,
    taskset_id text NOT NULL,
    board text NOT NULL,
    attempt bigint NOT NULL,
    variant bigint NOT NULL,
    started_at text NOT NULL,
    ended_at text,
    outcome text,
    reason text,
    events bigint
);

CREATE TABLE tasks (
    run_id text NOT NULL,
    task_id bigint NOT NULL,
    pkg text,
    executiontime bigint,
    criticaltime bigint,
    priority bigint,
    deadline bigint,
    period bigint,
    "offset" bigint,
    numberofjobs bigint,
    quota text,
    caps bigint,
    cores bigint,
    coreoffset bigint,
    config text,
    PRIMARY KEY (run_id, task_id)
);

-- time_stamp is unsigned, of 64 bits: more than a bigint holds.
CREATE TABLE events (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    task_id bigint NOT NULL,
    type text NOT NULL,
    time_stamp numeric(20) NOT NULL,
    received_at text NOT NULL,
    attributes text,
    PRIMARY KEY (run_id, seq)
);

-- digest names a row, so that the same bytes given twice are kept once.
CREATE TABLE quarantine (
    digest text PRIMARY KEY,
    received_at text NOT NULL,
    board text NOT NULL,
    run_id text,
    reason text NOT NULL,
    data bytea NOT NULL
);
