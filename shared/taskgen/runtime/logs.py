"""Logs on stderr: readable lines, or JSON lines with keys such as run and board."""

from __future__ import annotations

import logging
import os
import re
import sys
from traceback import TracebackException
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from taskgen.errors import SettingsError
from taskgen.untrusted_text import printable

LogKind = Literal["console", "json"]

_LONGEST: Final = 2_000
"""Characters of a line."""
_FRAME: Final = re.compile(r'[ |]*File "')
"""The beginning of a part of a traceback that is not an error's text; indented within groups."""
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def configure_logs(kind: LogKind = "console", level: str = "INFO") -> None:
    """Send the output of all stdlib loggers to stderr, replacing any earlier configuration.

    Values passed as `extra`, such as `board` and `run_id`, become keys.

    Args:
        kind: `console` for people; `json` for machines, one object per line.
        level: less important messages are left out.

    Raises:
        SettingsError: there is no such kind or level.
    """
    if kind not in ("console", "json"):
        raise SettingsError(f"log kind: {kind!r} is neither console nor json")
    if level.upper() not in _LEVELS:
        raise SettingsError(f"log level: {level!r} is not one of {', '.join(_LEVELS)}")
    handler = _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_traceback),
                _showable,
                *(_console() if kind == "console" else _json()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # It describes a lost connection in twelve lines; we use one.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _json() -> list[Processor]:
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(default=str),
    ]


def _console() -> list[Processor]:
    has_colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        _without_repeats,
        structlog.dev.ConsoleRenderer(
            colors=has_colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _traceback(exc_info: ExcInfo) -> str:
    """Format a traceback as Python does, but with the text of each error as one short line."""
    parts = TracebackException(*exc_info).format()
    return "\n".join(printable(line, _LONGEST) for part in parts for line in _lines(part))


def _lines(part: str) -> list[str]:
    return part.splitlines() if _FRAME.match(part) else [part.strip("\n")]


def _showable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make texts printable and limit their length, because they may come from outside."""
    return {
        name: printable(value, _LONGEST) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _without_repeats(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out keys whose value is None or part of the text."""
    text = str(event.get("event"))
    return {
        name: value
        for name, value in event.items()
        if name in {"event", "level", "timestamp"} or (value is not None and str(value) not in text)
    }


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Looks up stderr for each line, because a progress display replaces it temporarily."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        raise AttributeError("the stream is always stderr")
