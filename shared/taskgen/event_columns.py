"""Events as columns: a tenth of the time and a third of the bytes that a dictionary for each event takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from taskgen.boards.profile import are_valid_events
from taskgen.taskset import Profile

_KNOWN = ("@type", "@task-id", "@time-stamp")


class ProfileOfRun(NamedTuple):
    """One profile, as handlers receive it, and the place of its events within the run."""

    first_seq: int
    """Number of its first event within the run, from 0; an empty profile has that of the next one."""
    received_at: str
    """Host's time, UTC, ISO 8601."""
    profile: Profile
    """The dictionary of xmltodict; `event` is always a list of valid events."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The profile's events."""
        events: list[dict[str, Any]] = self.profile["profile"]["events"]["event"]
        return events

    @property
    def next_seq(self) -> int:
        """Number of the event that comes after this profile."""
        return self.first_seq + len(self.events)


class Frame(NamedTuple):
    """A profile without its events; see `ProfileOfRun`."""

    first_seq: Annotated[int, Field(ge=0, le=2**53 - 1)]
    received_at: str


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Consecutive events of one run, of one or more profiles.

    The lists have one entry for each event. Other data is kept beside them, so that
    `profiles()` returns exactly what `of()` was given.
    """

    types: list[str]
    """Usually one of `EventType`; one line."""
    task_ids: list[Annotated[int, Field(gt=-(10**18), lt=10**18)]]
    """The tasks' `id`s; -1 in a snapshot."""
    time_stamps: list[Annotated[int, Field(ge=0, lt=2**64)]]
    """Milliseconds since the board's boot."""
    frames: Annotated[list[Frame], Field(min_length=1)]
    """The profiles that the events came in."""
    unusual: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By their place in the lists: the dictionaries of events with further attributes or unusual notation."""
    shells: dict[int, Profile] = field(default_factory=dict)
    """By their place in `frames`: profiles with more than events; their `event` is an empty list."""

    @classmethod
    def of(cls, profiles: Iterable[ProfileOfRun]) -> EventColumns:
        """Make columns of valid profiles that leave no gap."""
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
        columns = cls(types, list(map(int, task_ids)), list(map(int, time_stamps)), frames, shells=shells)
        is_usual = (
            sum(map(len, events)) == len(_KNOWN) * len(events)
            and list(map(str, columns.task_ids)) == task_ids
            and list(map(str, columns.time_stamps)) == time_stamps
            and "".join(types).isprintable()
        )
        for place, event in enumerate(events) if not is_usual else ():
            types[place] = one_line(event["@type"])
            if event != columns._usual(place):
                columns.unusual[place] = event
        return columns

    def _usual(self, place: int) -> dict[str, Any]:
        return {
            "@type": self.types[place],
            "@task-id": str(self.task_ids[place]),
            "@time-stamp": str(self.time_stamps[place]),
        }

    def checked(self) -> EventColumns:
        """Return the columns unchanged, if they agree with each other and with what `of()` makes.

        Raises:
            ValueError: they do.
        """
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
                raise ValueError("an event whose type is empty or has several lines")
        for place, event in self.unusual.items():
            if not are_valid_events({"profile": {"events": {"event": [event]}}}) or (
                one_line(event["@type"]),
                int(event["@task-id"]),
                int(event["@time-stamp"]),
            ) != (self.types[place], self.task_ids[place], self.time_stamps[place]):
                raise ValueError("an unusual event that differs from its columns")
        if not all(0 <= place < len(starts) and _is_empty(shell) for place, shell in self.shells.items()):
            raise ValueError("a profile without a list of events")
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

    def profiles(self) -> Iterator[ProfileOfRun]:
        """The profiles, as `of()` takes them: dictionaries exactly as xmltodict made them."""
        for number, (frame, end) in enumerate(zip(self.frames, self._ends(), strict=True)):
            places = range(frame.first_seq - self.first_seq, end - self.first_seq)
            events = [self.unusual.get(place) or self._usual(place) for place in places]
            profile: Profile = {"profile": {"events": {"event": events}}}
            if shell := self.shells.get(number):
                content = shell["profile"]
                inside = {**content["events"], "event": events}
                profile = {**shell, "profile": {**content, "events": inside}}
            yield ProfileOfRun(frame.first_seq, frame.received_at, profile)

    def others(self, place: int) -> str | None:
        """An event's further attributes, and those in unusual notation, as JSON; None if there are none."""
        event = self.unusual.get(place)
        if event is None:
            return None
        usual = self._usual(place)
        more = {name: value for name, value in event.items() if usual.get(name) != value}
        return json.dumps(more) if more else None

    def part(self, start: int, stop: int) -> EventColumns:
        """The events from one place up to another, with the profiles that they came in."""
        first, last = self.first_seq + start, self.first_seq + stop
        is_end = stop == len(self)
        numbers = [
            number
            for number, (frame, end) in enumerate(zip(self.frames, self._ends(), strict=True))
            if (frame.first_seq < last or is_end) and (first < end or first <= frame.first_seq)
        ]
        kept = [self.frames[number] for number in numbers]
        return EventColumns(
            self.types[start:stop],
            self.task_ids[start:stop],
            self.time_stamps[start:stop],
            [Frame(max(frame.first_seq, first), frame.received_at) for frame in kept],
            {place - start: event for place, event in self.unusual.items() if start <= place < stop},
            # Further content of a profile stays with its first events.
            {
                place: self.shells[number]
                for place, number in enumerate(numbers)
                if number in self.shells and first <= self.frames[number].first_seq
            },
        )

    def received(self) -> list[str]:
        """When each event was received."""
        if len(self.frames) == 1:
            return [self.frames[0].received_at] * len(self)
        times: list[str] = []
        for frame, end in zip(self.frames, self._ends(), strict=True):
            times += [frame.received_at] * (end - frame.first_seq)
        return times

    def _ends(self) -> list[int]:
        return [frame.first_seq for frame in self.frames[1:]] + [self.next_seq]


def one_line(text: str) -> str:
    """A text as a column stores it: in XML, even an attribute can contain a line break."""
    return text if text.isprintable() else " ".join(text.split())


def _is_empty(shell: Profile) -> bool:
    return are_valid_events(shell) and shell["profile"]["events"]["event"] == []
