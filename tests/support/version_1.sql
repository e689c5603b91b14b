-- The tables of version 1 in PostgreSQL, as taskgen 1 made them.
CREATE TABLE taskgen_schema (version integer NOT NULL);
INSERT INTO taskgen_schema (version) VALUES (1);
-- A run, from its first message on; what is NULL is not known before its end. Also in the ledger of CSV files.
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    taskset_id TEXT NOT NULL,
    board TEXT NOT NULL,
    attempt bigint NOT NULL,
    variant bigint NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    outcome TEXT,
    reason TEXT,
    events bigint
);
-- The tables of the SQL stores, as SQLite spells them; `runs` is in runs.sql, the view `jobs` in jobs.sql.
CREATE TABLE tasks (
    run_id TEXT NOT NULL,
    task_id bigint NOT NULL,
    pkg TEXT,
    executiontime bigint,
    criticaltime bigint,
    priority bigint,
    deadline bigint,
    period bigint,
    "offset" bigint,
    numberofjobs bigint,
    quota TEXT,
    caps bigint,
    cores bigint,
    coreoffset bigint,
    config TEXT,
    PRIMARY KEY (run_id, task_id)
);

-- time_stamp has no type on purpose: an bigint holds up to 2^63 - 1, what is more is kept as text.
CREATE TABLE events (
    run_id TEXT NOT NULL,
    seq bigint NOT NULL,
    task_id bigint NOT NULL,
    type TEXT NOT NULL,
    time_stamp numeric(20) NOT NULL,
    received_at TEXT NOT NULL,
    attributes TEXT,
    PRIMARY KEY (run_id, seq)
);

-- digest names a row, so that the same bytes given twice are kept once.
CREATE TABLE quarantine (
    digest TEXT PRIMARY KEY,
    received_at TEXT NOT NULL,
    board TEXT NOT NULL,
    run_id TEXT,
    reason TEXT NOT NULL,
    data bytea NOT NULL
);
-- The jobs of every task, as taskgen.task.Task pairs their events; SQLite and PostgreSQL read this alike.
--
-- A START opens a job and the task's next event but NOT_SCHEDULED ends it, if it is an end and no START:
-- then the job has neither end nor exit type. An end without a START before it has no start. A
-- NOT_SCHEDULED is a job of its own, before the one that is open. `job` counts a task's jobs from 0.
--
-- run_time_ms is NULL where start or end is, where one of them is 2^63 or more, and where the board's clock
-- went back: unless it is a 32-bit clock that went over its end within a job shorter than 2^31 ms.
CREATE VIEW jobs AS
WITH moves AS (
    SELECT run_id, task_id, seq, type, time_stamp,
           max(CASE WHEN type = 'START' THEN seq END) OVER earlier AS last_start,
           max(CASE WHEN type NOT IN ('START', 'NOT_SCHEDULED') THEN seq END) OVER earlier AS last_end,
           min(CASE WHEN type = 'START' THEN seq END) OVER later AS next_start,
           min(CASE WHEN type NOT IN ('START', 'NOT_SCHEDULED') THEN seq END) OVER later AS next_end
    FROM events
    WHERE type IN ('START', 'NOT_SCHEDULED', 'EXIT', 'EXIT_CRITICAL', 'EXIT_ERROR', 'EXIT_EXTERNAL',
                   'EXIT_PERIOD', 'OUT_OF_QUOTA', 'OUT_OF_CAPS')
    WINDOW earlier AS (PARTITION BY run_id, task_id ORDER BY seq
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
           later AS (PARTITION BY run_id, task_id ORDER BY seq DESC
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), paired AS (
    SELECT moves.run_id, moves.task_id,
           row_number() OVER (
               PARTITION BY moves.run_id, moves.task_id
               ORDER BY CASE WHEN moves.type = 'NOT_SCHEDULED' AND last_start > coalesce(last_end, -1)
                             THEN last_start ELSE moves.seq END,
                        CASE WHEN moves.type = 'NOT_SCHEDULED' THEN 0 ELSE 1 END,
                        moves.seq
           ) - 1 AS job,
           CASE WHEN moves.type IN ('START', 'NOT_SCHEDULED') THEN moves.time_stamp END AS start_ms,
           CASE WHEN moves.type = 'START' THEN ending.time_stamp ELSE moves.time_stamp END AS end_ms,
           CASE WHEN moves.type = 'START' THEN ending.type ELSE moves.type END AS exit_type
    FROM moves
    LEFT JOIN events AS ending
           ON moves.type = 'START' AND ending.run_id = moves.run_id AND ending.seq = moves.next_end
          AND (moves.next_start IS NULL OR moves.next_end < moves.next_start)
    WHERE moves.type IN ('START', 'NOT_SCHEDULED')
       OR last_start IS NULL OR last_start < last_end
)
SELECT run_id, task_id, job, start_ms, end_ms, exit_type,
       CASE WHEN start_ms >= 9223372036854775808 OR end_ms >= 9223372036854775808 THEN NULL
            WHEN end_ms >= start_ms THEN end_ms - start_ms
            WHEN start_ms < 4294967296 AND end_ms - start_ms + 4294967296 < 2147483648
            THEN end_ms - start_ms + 4294967296 END AS run_time_ms
FROM paired;
