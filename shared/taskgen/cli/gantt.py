"""One run's jobs as a text Gantt chart: tasks as rows, the board's time as columns.

A job is drawn from its start to its end. Events do not tell whether it had a core all the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from taskgen.event_type import EventType
from taskgen.metrics import JobRow
from taskgen.untrusted_text import printable

_NOT_SEEN: Final = "end not seen"
_LETTERS: Final = {
    # exit type: (what ends its bar, style)
    EventType.EXIT_CRITICAL: ("C", "bold red"),
    EventType.EXIT_ERROR: ("E", "bold red"),
    EventType.EXIT_EXTERNAL: ("X", "bold"),
    EventType.EXIT_PERIOD: ("P", "bold yellow"),
    EventType.OUT_OF_QUOTA: ("Q", "bold red"),
    EventType.OUT_OF_CAPS: ("K", "bold red"),
    EventType.NOT_SCHEDULED: ("N", "bold magenta"),
    _NOT_SEEN: ("?", "bold"),
}
_BAR_STYLE: Final = "cyan"
_UNIT: Final = " ms"
_NARROWEST: Final = 10
_TICK_COLUMNS: Final = 12
"""Columns for each tick of the axis, approximately."""


@dataclass(frozen=True, slots=True)
class Strokes:
    """The characters of a bar."""

    start: str = "┣"
    middle: str = "━"
    end: str = "┫"
    point: str = "┃"
    """A job that is shorter than a column."""
    tick: str = "┴"
    axis: str = "─"


ASCII_STROKES: Final = Strokes("[", "=", "]", "|", "+", "-")


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a chart shows, in ms of the board's clock, and its columns."""

    origin_ms: int
    """Origin of the axis."""
    first_ms: int
    last_ms: int
    columns: int

    def column(self, time_ms: int) -> int:
        """The column of a time."""
        length = max(self.last_ms - self.first_ms, 1)
        return (time_ms - self.first_ms) * (self.columns - 1) // length

    def ticks(self) -> Iterator[int]:
        """Round times, in ms after the origin, not too many for the columns."""
        first, last = self.first_ms - self.origin_ms, self.last_ms - self.origin_ms
        wanted = max((last - first) * _TICK_COLUMNS // self.columns, 1)
        power = 10 ** (len(str(wanted)) - 1)
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted)
        yield from range(-(-first // step) * step, last + 1, step)


def gantt(
    jobs: Sequence[JobRow], names: dict[int, str], origin_ms: int, width: int, strokes: Strokes = Strokes()
) -> Iterator[Text]:
    """The lines of a chart.

    Args:
        jobs: of one run.
        names: of the tasks, by id.
        origin_ms: the board's time at the origin of the axis.
        width: columns of the whole chart.
        strokes: the characters to draw with.
    """
    times = [time for job in jobs for time in (job.release_ms, job.end_ms) if time is not None]
    if not times:
        return
    tasks = sorted({job.task_id for job in jobs})
    labels = {task: printable(f"{task} {names.get(task, '')}".rstrip()) for task in tasks}
    label_width = max(map(len, labels.values())) + 1
    span = Span(origin_ms, min(times), max(times), max(width - label_width, _NARROWEST))
    for task, label in labels.items():
        row = _Row(span, strokes)
        for job in jobs:
            if job.task_id == task:
                row.draw(job)
        yield Text(label.ljust(label_width), style="bold", no_wrap=True, end="").append_text(row.text())
    yield from (Text(" " * label_width + line, style="dim") for line in _axis(span, strokes))
    yield _legend(jobs)


class _Row:
    """One task's line; the letter of an unusual end is never drawn over."""

    def __init__(self, span: Span, strokes: Strokes) -> None:
        self._span = span
        self._strokes = strokes
        self._cells: list[tuple[str, str]] = [(" ", "")] * span.columns

    def draw(self, job: JobRow) -> None:
        start = job.release_ms if job.release_ms is not None else job.end_ms
        if start is None:
            return
        end = start if job.end_ms is None else max(job.end_ms, start)
        first, last = self._span.column(start), self._span.column(end)
        letter = _letter(job)
        for column in range(first, last):
            self._put(column, self._strokes.start if column == first else self._strokes.middle)
        usual = self._strokes.point if first == last else self._strokes.end
        if letter:
            self._cells[last] = letter
        else:
            self._put(last, usual)

    def text(self) -> Text:
        return Text.assemble(*self._cells)

    def _put(self, column: int, stroke: str) -> None:
        if not self._cells[column][0].isalpha():
            self._cells[column] = (stroke, _BAR_STYLE)


def _letter(job: JobRow) -> tuple[str, str] | None:
    kind = job.exit_type or _NOT_SEEN
    return None if kind == EventType.EXIT else _LETTERS.get(kind, ("!", "bold red"))


def _axis(span: Span, strokes: Strokes) -> tuple[str, str]:
    line, numbers = [strokes.axis] * span.columns, [" "] * span.columns
    free = 0
    for tick in span.ticks():
        column, text = span.column(span.origin_ms + tick), f"{tick:,}"
        line[column] = strokes.tick
        if column >= free and column + len(text + _UNIT) <= span.columns:
            numbers[column : column + len(text)] = text
            free = column + len(text) + 1
    return "".join(line), "".join(numbers).rstrip() + _UNIT


def _legend(jobs: Sequence[JobRow]) -> Text:
    counts = Counter(job.exit_type or _NOT_SEEN for job in jobs)
    legend = Text(style="dim")
    for kind, count in counts.items():
        letter = _LETTERS.get(kind, ("!", "bold red")) if kind != EventType.EXIT else ("", "")
        legend.append(f"{letter[0]} " if letter[0] else "", style=letter[1]).append(
            f"{printable(kind)} {count:,}   "
        )
    return legend
