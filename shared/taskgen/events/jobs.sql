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
