"""One process: socket, parser and a do-nothing handler, against `xmltodict.parse` alone."""

import time

import xmltodict

from taskgen.distributor import Distributor
from taskgen.event import AbstractEventHandler, Profile
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.bench.children import child
from tests.bench.results import Results
from tests.bench.sender import frame

_AIMS = {2: (0.5, 60_000), 200: (0.8, 3_000)}


class Nothing(AbstractEventHandler):
    """Does nothing but tell the time of the first and the last frame."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.spent_s = 0.0

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        if self.began is None:
            self.began = time.perf_counter()
        if event["profile"]["events"]["event"][0]["@type"] == "LAST":
            self.spent_s = time.perf_counter() - self.began
            return False
        return True


def measure(results: Results) -> None:
    """Frames through socket, parser and a do-nothing handler in one process."""
    for events, (aim, frames) in _AIMS.items():
        with child("tests.bench.sender", f"--frames={frames}", f"--events={events}") as (address,):
            ratio = _alone(frames, events) / _through(address, frames)
        results.add(ratio, f"one process, {events} events a frame", "`xmltodict.parse` alone", aim)


def _alone(frames: int, events: int) -> float:
    document = frame(events).rstrip(b"\0")
    began = time.perf_counter()
    for _ in range(frames):
        xmltodict.parse(document)
    return time.perf_counter() - began


def _through(address: str, frames: int) -> float:
    handler = Nothing()
    with Distributor(address, event_handler=handler) as distributor:
        distributor.start(TaskSet([Task(pkg="hey", period=100)]))
        assert distributor.counters.frames == frames + 1
    return handler.spent_s
