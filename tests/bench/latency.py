"""The time from a board's write to the handler's call, on an otherwise quiet lab."""

import statistics
import time

from taskgen.distributor import Distributor
from taskgen.event import AbstractEventHandler, Profile
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.bench.children import child

_FRAMES = 2000


class Late(AbstractEventHandler):
    """Compares the board's clock, which is this machine's, with now."""

    def __init__(self) -> None:
        self.delays_ns: list[int] = []

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        arrived = time.monotonic_ns()
        (one,) = event["profile"]["events"]["event"]
        if one["@type"] == "LAST":
            return False
        self.delays_ns.append(arrived - int(one["@time-stamp"]))
        return True


def report() -> None:
    """Print median and 99th percentile."""
    handler = Late()
    with (
        child("tests.bench.sender", f"--frames={_FRAMES}") as (address,),
        Distributor(address, event_handler=handler) as distributor,
    ):
        distributor.start(TaskSet([Task(pkg="hey", period=100)]))
    percentiles = statistics.quantiles(handler.delays_ns, n=100)
    print("from a board's write to the handler's call")
    print(f"  median {percentiles[49] / 1e6:.2f} ms, 99 % within {percentiles[98] / 1e6:.2f} ms")
