"""The documents that a board sends, formatted as real boards format them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

Attributes = Mapping[str, str]
"""Those of an event are `type`, `task-id` and `time-stamp`."""

GARBAGE: Final = b"\x7fELF\x02\x01 <profile <<events>\0"
_LEFT_OVER: Final = b'sk-id="3" time-stamp="276427"/>\n\t</events>\n</profile>\n\0'


def profile(events: Iterable[Attributes]) -> bytes:
    """A profile document with these events, terminated by a NUL."""
    return _profile(f"\t\t<event {_attributes(event)}/>\n" for event in events)


def snapshot(event: Attributes, tasks: Iterable[Attributes]) -> bytes:
    """A profile with one event that has a child for each task, terminated by a NUL."""
    children = "".join(f"\t\t\t<task {_attributes(task)}/>\n" for task in tasks)
    return _profile([f"\t\t<event {_attributes(event)}>\n{children}\t\t</event>\n"])


def live(tasks: Iterable[Attributes]) -> bytes:
    """The states of a board's tasks, terminated by a NUL."""
    children = "".join(f"\t<task {_attributes(task)}/>\n" for task in tasks)
    return f"<live>\n{children}</live>\n\0".encode("ascii")


def with_left_over(document: bytes) -> bytes:
    """The document in a buffer that held an earlier, longer one."""
    return document.rstrip(b"\0") + _LEFT_OVER


def nul_padded(document: bytes, size: int) -> bytes:
    """The document followed by NULs up to the size."""
    return document.ljust(size, b"\0")


def _profile(events: Iterable[str]) -> bytes:
    return f"<profile>\n\t<events>\n{''.join(events)}\t</events>\n</profile>\n\0".encode("ascii")


def _attributes(attributes: Attributes) -> str:
    return " ".join(f'{name}="{value}"' for name, value in attributes.items())
