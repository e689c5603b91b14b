"""How far a campaign is: a live display on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from taskgen.distributor import Distributor
from taskgen.execution.board import BoardState
from taskgen.execution.campaign import Campaign
from taskgen.untrusted_text import printable

_PLAIN_EVERY_S: Final = 2.0
_RATE_OVER_S: Final = 2.0
_MAX_LOST_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """A campaign at one moment."""

    done: int
    """Variants that have a result or were given up."""
    total: int | None
    """All variants; None: a generator hides it."""
    states: Counter[BoardState]
    lost: tuple[str, ...]
    """Some of the lost boards, each with the reason."""
    events: int | None
    """None: they are counted elsewhere."""
    bad: int
    is_stopping: bool = False

    @property
    def boards(self) -> str:
        """What the boards are doing, in words."""
        busy, idle = self.states[BoardState.RUNNING], self.states[BoardState.IDLE]
        return f"boards: {busy} busy, {idle} idle, {self.states[BoardState.LOST]} lost"

    @property
    def runs(self) -> str:
        """How far it is, in words."""
        of_all = "" if self.total is None else f" of {self.total:,}"
        bad = f" ({self.bad:,} bad)" if self.bad else ""
        return f"{self.done:,}{of_all} runs done{bad}"

    def told(self, separator: str, rate: float) -> str:
        """Boards, and events if they are counted here, in words; `rate` is events per second."""
        events = "" if self.events is None else f"{separator}{self.events:,} events ({rate:,.0f}/s)"
        return self.boards + events


def progress_of(
    distributor: Distributor, campaign: Campaign, total: int | None, *, is_stopping: bool
) -> Progress:
    """Look at a campaign now."""
    boards = distributor.boards
    lost = (f"{one.name}: {one.reason}" for one in boards if one.state is BoardState.LOST)
    return Progress(
        done=campaign.results + len(campaign.bad),
        total=total,
        states=Counter(one.state for one in boards),
        lost=tuple(text for text, _ in zip(lost, range(_MAX_LOST_SHOWN), strict=False)),
        events=distributor.counters.events,
        bad=len(campaign.bad),
        is_stopping=is_stopping,
    )


class Display(Protocol):
    """Shows progress; called a few times a second."""

    def show(self, progress: Progress) -> None:
        """Show this now, or leave it out."""


@contextmanager
def display(console: Console) -> Iterator[Display]:
    """The display that fits where `console` writes."""
    if not console.is_terminal:
        yield PlainDisplay(console)
        return
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        yield LiveDisplay(live)


class Rate:
    """Events per second, over the last seconds."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def at(self, time_s: float, events: int) -> float:
        """The rate, given that so many events have come until now."""
        self._samples.append((time_s, events))
        while len(self._samples) > 2 and time_s - self._samples[1][0] >= _RATE_OVER_S:  # noqa: PLR2004 - ends
            del self._samples[0]
        first_s, first = self._samples[0]
        return (events - first) / (time_s - first_s) if time_s > first_s else 0.0


class PlainDisplay:
    """A line every few seconds, if something has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._due = 0.0
        self._shown: Progress | None = None

    def show(self, progress: Progress) -> None:
        """See `Display`."""
        now = time.monotonic()
        rate = self._rate.at(now, progress.events or 0)
        is_stopping_now = progress.is_stopping and not (self._shown and self._shown.is_stopping)
        if progress == self._shown or (now < self._due and not is_stopping_now):
            return
        self._shown, self._due = progress, now + _PLAIN_EVERY_S
        stopping = "stopping the boards; " if progress.is_stopping else ""
        self._console.print(
            f"{stopping}{progress.runs}; {progress.told('; ', rate)}",
            soft_wrap=True,
        )


class LiveDisplay:
    """A few lines that are drawn again and again."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._rate = Rate()
        self._spinner = Spinner("dots")
        self._began = time.monotonic()

    def show(self, progress: Progress) -> None:
        """See `Display`."""
        self._live.update(self._drawn(progress))

    def _drawn(self, progress: Progress) -> RenderableType:
        now = time.monotonic()
        rate = self._rate.at(now, progress.events or 0)
        first = Table.grid(padding=(0, 1), expand=True)
        first.add_column(width=1)
        first.add_column(no_wrap=True)
        first.add_column(ratio=1)
        first.add_column(justify="right", no_wrap=True)
        bar = ProgressBar(total=progress.total, completed=progress.done, pulse=progress.total is None)
        first.add_row(self._spinner, progress.runs, bar, f"{now - self._began:.0f} s")
        second = Text(f"  {progress.told('   ', rate)}", overflow="ellipsis")
        lost = [
            Text(f"  {printable(text)}", style="yellow", overflow="ellipsis", no_wrap=True)
            for text in progress.lost
        ]
        more = progress.states[BoardState.LOST] - len(lost)
        if more:
            lost.append(Text(f"  and {more:,} more lost", style="yellow"))
        if progress.is_stopping:
            lost.append(Text("  stopping the boards; Ctrl-C again ends at once", style="bold"))
        # The terminal writes ^C where the cursor is: at the end of a full line that would be one line more.
        return Group(first, second, *lost, Text())
