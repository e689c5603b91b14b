"""Stores events in a loop until it is killed, and prints after each commit the number of the last one.

Usage: python -m tests.support.store_writer sqlite|csv|parts|postgres PLACE RUN_ID FIRST_SEQ SEED [COUNT]

With COUNT it ends after that many events, and the run with it.
"""

import random
import sys
from collections.abc import Callable

from taskgen.events.base import StoringHandler
from taskgen.events.csv import CsvHandler
from taskgen.events.csv_parts import CsvPartsHandler
from taskgen.events.postgres import PostgresHandler
from taskgen.events.sql import SqliteHandler
from tests.support.profiles import event
from tests.support.store_events import end_run, give, taskset

STORES: dict[str, Callable[[str], StoringHandler]] = {
    "sqlite": SqliteHandler,
    "csv": CsvHandler,
    "parts": CsvPartsHandler,
    "postgres": PostgresHandler,
}


def numbered_event(seq: int) -> dict[str, object]:
    """The event with that number: always the same."""
    return event("EXTERNAL", seq % 7, seq * 3, **{"@note": f'"{seq}",\r\n' * (seq % 5)})


def main(kind: str, place: str, run_id: str, first_seq: str, seed: str, count: str = "0") -> None:
    chance = random.Random(seed)
    tasks = taskset(run_id=run_id, taskset_id=f"of {run_id}", started_at="2024-05-06T07:00:00+00:00")
    with STORES[kind](place) as handler:
        handler.__taskset_start__(tasks)
        seq = int(first_seq)
        while not int(count) or seq < int(count):
            handler.begin()
            for _ in range(chance.randint(1, 4)):
                size = chance.randint(1, 12)
                give(handler, tasks, seq, *(numbered_event(seq + n) for n in range(size)))
                seq += size
            handler.commit()
            print(seq - 1, flush=True)
        end_run(handler, tasks, seq)


if __name__ == "__main__":
    main(*sys.argv[1:])
