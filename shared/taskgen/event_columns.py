"""Events as columns: a tenth of the time and a third of the bytes that a dictionary for each event takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from taskgen.boards.profile import are_valid_events
from taskgen.taskset import Profile

_KNOWN = ("@type", "@task-id", "@time-stamp")


class Frame(NamedTuple):
    """Where a profile's events are within the run, and when they were received."""

    first_seq: Annotated[int, Field(ge=0, le=2**53 - 1)]
    """Number of its first event within the run, from 0; an empty profile has that of the next one."""
    received_at: str
    """Host's time, UTC, ISO 8601."""


class EventColumns(BaseModel):
    """Consecutive events of one run, of one or more profiles.

    The lists have one entry for each event. What does not fit into them is kept beside them, so that
    `profiles()` returns exactly what `of()` was given.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    types: list[str]
    """Usually one of `EventType`; one line."""
    task_ids: list[Annotated[int, Field(gt=-(10**18), lt=10**18)]]
    """The tasks' `id`s; -1 in a snapshot."""
    time_stamps: list[Annotated[int, Field(ge=0, lt=2**64)]]
    """Milliseconds since the board's boot."""
    frames: Annotated[list[Frame], Field(min_length=1)]
    """The profiles that the events came in."""
    unusual: dict[int, dict[str, Any]] = {}
    """By their place in the lists: the dictionaries of events with other attributes, or written unusually."""
    shells: dict[int, Profile] = {}
    """By their place in `frames`: profiles with more than events; their `event` is an empty list."""

    @classmethod
    def of(cls, profiles: Iterable[tuple[int, str, Profile]]) -> EventColumns:
        """Make columns of valid profiles.

        Args:
            profiles: of each, the number of its first event, when it was received, and the dictionary that
                handlers are given. The numbers leave no gap.
        """
        events: list[dict[str, Any]] = []
        frames: list[Frame] = []
        shells: dict[int, Profile] = {}
        for first_seq, received_at, profile in profiles:
            content = profile["profile"]
            inner = content["events"]
            if len(inner) > 1 or len(content) > 1 or len(profile) > 1:
                shells[len(frames)] = {**profile, "profile": {**content, "events": {**inner, "event": []}}}
            events += inner["event"]
            frames.append(Frame(first_seq, received_at))
        types = [event["@type"] for event in events]
        task_ids = [event["@task-id"] for event in events]
        time_stamps = [event["@time-stamp"] for event in events]
        columns = cls.model_construct(
            types=types,
            task_ids=list(map(int, task_ids)),
            time_stamps=list(map(int, time_stamps)),
            frames=frames,
            unusual={},
            shells=shells,
        )
        is_usual = (
            sum(map(len, events)) == len(_KNOWN) * len(events)
            and list(map(str, columns.task_ids)) == task_ids
            and list(map(str, columns.time_stamps)) == time_stamps
            and "".join(types).isprintable()
        )
        for place, event in enumerate(events) if not is_usual else ():
            types[place] = one_line(event["@type"])
            if event != columns._usual(place):  # noqa: SLF001 - of this class
                columns.unusual[place] = event
        return columns

    def _usual(self, place: int) -> dict[str, Any]:
        return {
            "@type": self.types[place],
            "@task-id": str(self.task_ids[place]),
            "@time-stamp": str(self.time_stamps[place]),
        }

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        count = len(self.types)
        if not count == len(self.task_ids) == len(self.time_stamps):
            raise ValueError("columns of different lengths")
        starts = [frame.first_seq for frame in self.frames]
        if any(later < earlier for earlier, later in pairwise([*starts, self.first_seq + count])):
            raise ValueError("frames out of order")
        if not all(0 <= place < count for place in self.unusual):
            raise ValueError("an unusual event that is in no column")
        if "" in self.types or not "".join(self.types).isprintable():
            odd = {place for place, kind in enumerate(self.types) if not kind or kind != one_line(kind)}
            if odd - self.unusual.keys():
                raise ValueError("an event without type, or with more than a line of it")
        for place, event in self.unusual.items():
            if not are_valid_events({"profile": {"events": {"event": [event]}}}) or (
                one_line(event["@type"]),
                int(event["@task-id"]),
                int(event["@time-stamp"]),
            ) != (self.types[place], self.task_ids[place], self.time_stamps[place]):
                raise ValueError("an unusual event that differs from its columns")
        if not all(0 <= place < len(starts) and _is_empty(shell) for place, shell in self.shells.items()):
            raise ValueError("a profile that is not around a list of events")
        return self

    def __len__(self) -> int:
        return len(self.types)

    @property
    def first_seq(self) -> int:
        """Number of the first event within the run."""
        return self.frames[0].first_seq

    @property
    def next_seq(self) -> int:
        """Number of the event that comes after these."""
        return self.first_seq + len(self.types)

    def profiles(self) -> Iterator[tuple[int, str, Profile]]:
        """The profiles, as `of()` takes them: dictionaries exactly as xmltodict made them."""
        for number, (frame, end) in enumerate(zip(self.frames, self._ends(), strict=True)):
            places = range(frame.first_seq - self.first_seq, end - self.first_seq)
            events = [self.unusual.get(place) or self._usual(place) for place in places]
            profile: Profile = {"profile": {"events": {"event": events}}}
            if shell := self.shells.get(number):
                content = shell["profile"]
                inside = {**content["events"], "event": events}
                profile = {**shell, "profile": {**content, "events": inside}}
            yield frame.first_seq, frame.received_at, profile

    def part(self, start: int, stop: int) -> Self:
        """The events from one place up to another, with the profiles that they came in."""
        first, last = self.first_seq + start, self.first_seq + stop
        is_end = stop == len(self)
        numbers = [
            number
            for number, (frame, end) in enumerate(zip(self.frames, self._ends(), strict=True))
            if (frame.first_seq < last or is_end) and (first < end or first <= frame.first_seq)
        ]
        kept = [self.frames[number] for number in numbers]
        return self.model_copy(
            update={
                "types": self.types[start:stop],
                "task_ids": self.task_ids[start:stop],
                "time_stamps": self.time_stamps[start:stop],
                "frames": [Frame(max(frame.first_seq, first), frame.received_at) for frame in kept],
                "unusual": {
                    place - start: event for place, event in self.unusual.items() if start <= place < stop
                },
                # What came beside the events of a profile stays with the first of them.
                "shells": {
                    place: self.shells[number]
                    for place, number in enumerate(numbers)
                    if number in self.shells and first <= self.frames[number].first_seq
                },
            }
        )

    def received(self) -> list[str]:
        """When each event was received."""
        times: list[str] = []
        for frame, end in zip(self.frames, self._ends(), strict=True):
            times += [frame.received_at] * (end - frame.first_seq)
        return times

    def _ends(self) -> list[int]:
        return [frame.first_seq for frame in self.frames[1:]] + [self.next_seq]


def one_line(text: str) -> str:
    """A text as a column shows it: XML can put a line break even into an attribute."""
    return text if text.isprintable() else " ".join(text.split())


def _is_empty(shell: Profile) -> bool:
    return are_valid_events(shell) and shell["profile"]["events"]["event"] == []
