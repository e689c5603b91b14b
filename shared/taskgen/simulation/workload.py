"""The work of a job on the simulated board: how long it runs, and how it ends."""

from __future__ import annotations

import zlib
from collections.abc import Container
from typing import Final, NamedTuple

from taskgen.event_type import EventType
from taskgen.simulation.periodic_task import PeriodicTask

MIN_QUOTA_BYTES: Final = 512 * 1024
MIN_CAPS: Final = 20
"""With fewer, a job cannot even open its log session."""

_ENDLESS: Final = frozenset({"idle", "namaste"})
_RUN_TIMES: Final = {
    # name: (ms at arg1 = 0, thousandths of a ms more for each 1 of arg1)
    "hey": (2, 0),
    "pi": (4, 100),
    "tumatmul": (5, 1000),
    "cond_42": (10, 500),
    "cond_mod": (10, 700),
    "linpack": (20, 2000),
}
_JITTERED: Final = ("cond_42", "cond_mod")
_JITTER_PERCENT: Final = 20
_FAILING_MS: Final = 1
"""When a job that cannot work fails."""

KNOWN_BINARIES: Final = _ENDLESS | frozenset(_RUN_TIMES)


class Work(NamedTuple):
    """The work of one job."""

    run_time_ms: int | None
    """Time on a core, at least 1; None: the job never ends by itself."""
    exit_type: EventType


def work(task: PeriodicTask, job: int, seed: int, binaries: Container[str]) -> Work:
    """Return the work of a task's job (counted from 0); `binaries` are those that were sent to the board.

    The run times of `cond_42` and `cond_mod` vary by up to 20 % from job to job, depending on `seed`.
    """
    if task.pkg not in KNOWN_BINARIES and task.pkg not in binaries:
        return Work(_FAILING_MS, EventType.EXIT_ERROR)
    if task.quota < MIN_QUOTA_BYTES:
        return Work(_FAILING_MS, EventType.OUT_OF_QUOTA)
    if task.caps < MIN_CAPS:
        return Work(_FAILING_MS, EventType.OUT_OF_CAPS)
    return Work(_run_time_ms(task, job, seed), EventType.EXIT)


def _run_time_ms(task: PeriodicTask, job: int, seed: int) -> int | None:
    if task.pkg in _ENDLESS:
        return None
    if task.pkg not in _RUN_TIMES:
        return task.executiontime or _RUN_TIMES["hey"][0]
    shortest, growth = _RUN_TIMES[task.pkg]
    run_time = shortest + task.arg1 * growth // 1000
    if task.pkg in _JITTERED:
        variation = zlib.crc32(f"{seed}/{task.id}/{job}".encode())
        run_time += variation % (run_time * _JITTER_PERCENT // 100 + 1)
    return run_time
