"""Frames per second through socket, parser and a do-nothing handler, against `xmltodict.parse` alone."""

import time
from typing import NamedTuple

import xmltodict

from taskgen.distributor import Distributor
from taskgen.event import AbstractEventHandler, Profile
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.bench.children import child
from tests.bench.sender import frame

_AIMS = {2: (0.5, 60_000), 200: (0.8, 3_000)}
_ROUNDS = 5


class Spent(NamedTuple):
    """Seconds, by the clock and of this process's processor time."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Spent":
        return cls(time.perf_counter(), time.process_time())

    def since(self, began: "Spent") -> "Spent":
        return Spent(self.wall - began.wall, self.cpu - began.cpu)


class Nothing(AbstractEventHandler):
    """Does nothing but tell the time of the first and the last frame."""

    def __init__(self) -> None:
        self.began: Spent | None = None
        self.spent = Spent(0, 0)

    def __taskset_event__(self, taskset: TaskSet, event: Profile) -> bool:
        if self.began is None:
            self.began = Spent.now()
        if event["profile"]["events"]["event"][0]["@type"] == "LAST":
            self.spent = Spent.now().since(self.began)
            return False
        return True


def report() -> None:
    """Print both ratios: of the best round of each side, as others may use the machine too."""
    print("frames/s through socket, parser and a do-nothing handler, against xmltodict.parse alone")
    for events, (aim, frames) in _AIMS.items():
        with child("tests.bench.sender", f"--frames={frames}", f"--events={events}") as (address,):
            rounds = [(_alone(frames, events), _through(address, frames)) for _ in range(_ROUNDS)]
        alone, through = (Spent(*map(min, zip(*side, strict=True))) for side in zip(*rounds, strict=True))
        print(
            f"  {events:3} events a frame: {frames / through.wall:9,.0f} against {frames / alone.wall:9,.0f}"
            f" = {alone.wall / through.wall:.2f} (aim {aim}); in processor time {alone.cpu / through.cpu:.2f}"
        )


def _alone(frames: int, events: int) -> Spent:
    document = frame(events).rstrip(b"\0")
    began = Spent.now()
    for _ in range(frames):
        xmltodict.parse(document)
    return Spent.now().since(began)


def _through(address: str, frames: int) -> Spent:
    handler = Nothing()
    with Distributor(address, event_handler=handler) as distributor:
        distributor.start(TaskSet([Task(pkg="hey")]))
        assert distributor.counters.frames == frames + 1
    return handler.spent
