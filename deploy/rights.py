"""What each service may do on the broker: its own queue and nothing that it does not need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from taskgen.amqp.topology import COMMANDS, CONTROLLER, EVENTS, TASKSETS, sink_queue

_DEFAULT_EXCHANGE: Final = r"amq\.default"
"""Publishing straight into a queue, such as a parking queue: the broker cannot limit to which."""
_TEMPORARY: Final = r"amq\.gen-.*"
_ANY_HANDLER: Final = r"taskgen\.handler\..*"
_ANY_BOARD: Final = r"taskgen\.board\..*"
_EXCHANGES: Final = (re.escape(EVENTS), re.escape(COMMANDS))
_NOTHING: Final = "^$"


@dataclass(frozen=True, slots=True)
class Rights:
    """Regular expressions, each of a whole name, of queues and exchanges."""

    configure: str
    """Declared, and deleted."""
    write: str
    """Published to; queues: bound."""
    read: str
    """Consumed from; exchanges: bound to."""


def _any_of(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"


def _with_parking(queue: str) -> str:
    return rf"{re.escape(queue)}(\.parked)?"


def _sink(name: str) -> Rights:
    """A sink finds its queue declared."""
    queue = re.escape(sink_queue(name).name)
    return Rights(configure=_NOTHING, write=_any_of(_DEFAULT_EXCHANGE), read=_any_of(queue))


RIGHTS: Final = {
    "distributor": Rights(
        configure=_any_of(_ANY_BOARD),
        write=_any_of(_DEFAULT_EXCHANGE, re.escape(EVENTS), _ANY_BOARD),
        read=_any_of(re.escape(COMMANDS), re.escape(TASKSETS), _ANY_BOARD),
    ),
    "controller": Rights(
        configure=_any_of(rf"{re.escape(CONTROLLER)}\.active", _TEMPORARY),
        write=_any_of(_DEFAULT_EXCHANGE, *_EXCHANGES, _TEMPORARY),
        read=_any_of(re.escape(EVENTS), re.escape(CONTROLLER), _TEMPORARY),
    ),
    "sqlite_sink": _sink("sqlite"),
    "csv_sink": _sink("csv"),
    "postgres_sink": _sink("postgres"),
    "handler": Rights(
        configure=_any_of(*_EXCHANGES, _ANY_HANDLER),
        write=_any_of(_DEFAULT_EXCHANGE, _ANY_HANDLER),
        read=_any_of(re.escape(EVENTS), _ANY_HANDLER),
    ),
    "cli": Rights(
        configure=_any_of(*_EXCHANGES, _with_parking(TASKSETS), _TEMPORARY),
        write=_any_of(_DEFAULT_EXCHANGE, *_EXCHANGES, _with_parking(TASKSETS), _TEMPORARY),
        read=_any_of(*_EXCHANGES, _with_parking(TASKSETS), r"taskgen\..*\.parked", _TEMPORARY),
    ),
}
"""By user; `handler` is for a user's own handlers, `cli` for people."""

TAGS: Final = {"cli": ["monitoring"], "handler": ["policymaker"]}
"""Who may use the management API: people look, a user's own handler limits the queue that it declares."""
