"""Memory and threads of one distributor with a thousand simulated boards."""

import argparse
import gc
import threading
import time
from pathlib import Path

from taskgen.distributor import Distributor
from taskgen.execution.board import BoardState
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.bench.children import child
from tests.support.waiting import wait_until

_BOARDS = 1000
_AIM_KIB = 100


def report() -> None:
    """Print what each board costs while idle and while all of them run."""
    with child("tests.bench.many_boards", f"--serve={_BOARDS}", lines=_BOARDS) as addresses:
        _warm_up(addresses[0])
        before = _resident_kib()
        with Distributor(addresses) as distributor:
            began = time.perf_counter()
            campaign = distributor.start(
                TaskSet([Task(pkg="hey", period=1000, numberofjobs=10, priority=[7] * _BOARDS)]), wait=False
            )
            wait_until(lambda: campaign.running == _BOARDS, 120, "all boards at work")
            all_running_s = time.perf_counter() - began
            running, threads = _resident_kib() - before, threading.active_count()
            distributor.wait_finished()
            done_s = time.perf_counter() - began
            idle = [one for one in distributor.boards if one.state is BoardState.IDLE]
            gc.collect()
            resting = _resident_kib() - before
            events = distributor.counters.events
    print(f"{_BOARDS} boards on one distributor")
    busy, idle_kib = running / _BOARDS, resting / _BOARDS
    print(f"  {busy:.0f} KiB a board while all run, {idle_kib:.0f} KiB when they are idle (aim {_AIM_KIB})")
    print(f"  {threads} threads in all, whatever the number of boards; {len(idle)} boards idle at the end")
    print(f"  all at work after {all_running_s:.1f} s; {events} events of {_BOARDS} runs in {done_s:.1f} s")


def _warm_up(address: str) -> None:
    """What the first run imports and allocates is no board's."""
    with Distributor(address) as distributor:
        distributor.start(TaskSet([Task(pkg="hey", period=100)]))


def _resident_kib() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("this system does not tell a process's memory")


def _serve() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=int, required=True)
    with run_boards(parser.parse_args().serve, speed=1) as addresses:
        print("\n".join(addresses), flush=True)
        time.sleep(3600)


if __name__ == "__main__":
    _serve()
