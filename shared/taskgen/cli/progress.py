"""Progress of a campaign: a live display on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from taskgen.cli.terminal import counted, styled
from taskgen.execution.board import NOT_TRIED, BoardState

LOOK_EVERY_S: Final = 0.125
"""How often a command looks whether something has changed."""
_PLAIN_EVERY_S: Final = 2.0
_RATE_OVER_S: Final = 2.0
_MAX_LOST_SHOWN: Final = 5
_WIDE: Final = 100
"""From this width on, a terminal shows one line for each board, if it has room for all."""
_OTHER_LINES: Final = 6
_STATE_STYLES: Final = {BoardState.RUNNING: "green", BoardState.LOST: "yellow"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A campaign at one moment."""

    boards: tuple[tuple[str, BoardState, str], ...]
    """Each with its state, and why it is lost or which run it executes."""
    done: int
    """Variants that have a result or have failed."""
    total: int | None
    """All variants; None if generators leave it unknown."""
    failed: int
    events: int | None = None
    """None if they are counted elsewhere."""
    misses: int | None = None
    """Jobs that missed their deadline so far; None if they are counted elsewhere."""
    stopping: str | None = None
    """The signal that made the boards stop."""

    @property
    def runs(self) -> str:
        """How many runs are done."""
        of_all = "" if self.total is None else f"{self.done:,} of "
        runs = counted(self.done if self.total is None else self.total, "run")
        return f"{of_all}{runs} done" + (f" ({self.failed:,} failed)" if self.failed else "")

    @property
    def lost(self) -> list[str]:
        """The lost boards, each with the reason; those that were not tried yet are none."""
        return [
            f"{name}: {reason}"
            for name, state, reason in self.boards
            if state is BoardState.LOST and reason != NOT_TRIED
        ]

    def work(self, separator: str, rate: float) -> str:
        """The state of the boards, and the events if they are counted here; `rate` is events per second."""
        states = Counter(state for _, state, _ in self.boards)
        busy, idle = states[BoardState.RUNNING], states[BoardState.IDLE]
        work = f"boards: {busy} busy, {idle} idle, {len(self.lost)} lost"
        if self.events is None:
            return work
        misses = f"{separator}{counted(self.misses, 'miss', 'misses')}" if self.misses else ""
        return f"{work}{separator}{counted(self.events, 'event')} ({rate:,.0f}/s){misses}"


@contextmanager
def display(console: Console) -> Iterator[PlainDisplay | LiveDisplay]:
    """The display that suits the output of `console`."""
    if not console.is_terminal:
        yield PlainDisplay(console)
        return
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        yield LiveDisplay(live)


class Rate:
    """Events per second during the last seconds."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def at(self, time_s: float, events: int) -> float:
        """The rate, where `events` is the total so far."""
        self._samples.append((time_s, events))
        while len(self._samples) > 2 and time_s - self._samples[1][0] >= _RATE_OVER_S:  # noqa: PLR2004 - ends
            del self._samples[0]
        first_s, first = self._samples[0]
        return (events - first) / (time_s - first_s) if time_s > first_s else 0.0


class PlainDisplay:
    """Prints a line every few seconds if something has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._due = 0.0
        self._shown: Snapshot | None = None

    def show(self, now: Snapshot) -> None:
        """Print a line if one is due."""
        time_s = time.monotonic()
        rate = self._rate.at(time_s, now.events or 0)
        is_stopping_now = now.stopping and not (self._shown and self._shown.stopping)
        if now == self._shown or (time_s < self._due and not is_stopping_now):
            return
        self._shown, self._due = now, time_s + _PLAIN_EVERY_S
        stopping = f"{now.stopping}: stopping the boards; " if now.stopping else ""
        self._console.print(f"{stopping}{now.runs}; {now.work('; ', rate)}", soft_wrap=True)


class LiveDisplay:
    """Draws a few lines in place."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._rate = Rate()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            expand=True,
        )
        self._task = self._bar.add_task("")
        self._began = time.monotonic()

    def show(self, now: Snapshot) -> None:
        """Redraw."""
        self._bar.update(self._task, description=now.runs, completed=now.done, total=now.total)
        work = now.work("   ", self._rate.at(time.monotonic(), now.events or 0))
        if now.done:
            work += f"   {60 * now.done / (time.monotonic() - self._began):,.0f} runs/min"
        width, height = self._live.console.size
        is_room_for_all = width >= _WIDE and len(now.boards) + _OTHER_LINES <= height
        lines = [Text(f"  {work}"), *(_boards(now) if is_room_for_all else _lost_boards(now))]
        for line in lines:
            line.overflow, line.no_wrap = "ellipsis", True
        if now.stopping:
            text = f"  {now.stopping}: stopping the boards; press Ctrl-C to end at once"
            lines.append(Text(text, style="bold"))
        # The terminal echoes ^C at the cursor: behind a full line it would take another line.
        self._live.update(Group(self._bar, *lines, Text()))


def _boards(now: Snapshot) -> list[Text]:
    """One line for each board."""
    length = max((len(name) for name, _, _ in now.boards), default=0)
    return [
        Text.assemble(
            styled(f"  {name:<{length}}  ", ""),
            styled(f"{'connecting' if text == NOT_TRIED else state:<10}  ", _STATE_STYLES.get(state, "")),
            styled("" if text == NOT_TRIED else text, ""),
        )
        for name, state, text in now.boards
    ]


def _lost_boards(now: Snapshot) -> list[Text]:
    """One line for each of the first lost boards, and one for the rest."""
    lost = now.lost
    lines = [styled(f"  {one}", "yellow") for one in lost[:_MAX_LOST_SHOWN]]
    if more := len(lost) - len(lines):
        lines.append(styled(f"  and {more:,} more lost", "yellow"))
    return lines
