-- Times are the board's clock in ms: unsigned 64-bit numbers.
CREATE TABLE jobs (
    run_id text NOT NULL,
    task_id bigint NOT NULL,
    job integer NOT NULL,
    start_ms numeric(20),
    end_ms numeric(20),
    exit_type text,
    PRIMARY KEY (run_id, task_id, job)
);
