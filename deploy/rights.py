"""The permissions of each service on the broker: only those that it needs.

Nobody may write to the default exchange, nor to a queue's name, which would allow binding it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from taskgen.amqp.topology import (
    COMMANDS,
    CONTROLLER,
    EVENTS,
    HANDLERS_DLX,
    TASKSETS,
    dlx,
    inbox,
    sink_queue,
)

_TEMPORARY: Final = r"amq\.gen-.*"
_ANY_HANDLER: Final = r"taskgen\.handler\..*"
_ANY_BOARD: Final = r"taskgen\.board\..*"
_ANY_INBOX: Final = r"taskgen\..*\.inbox"
_ANY_PARKED: Final = r"taskgen\..*\.parked"
_NOTHING: Final = "^$"


@dataclass(frozen=True, slots=True)
class Rights:
    """Regular expressions for whole names of queues and exchanges."""

    configure: str
    """Declared, and deleted."""
    write: str
    """Published to; queues: bound."""
    read: str
    """Consumed from, purged; exchanges: bound to."""


def _names(*names: str, patterns: tuple[str, ...] = ()) -> str:
    return f"^({'|'.join((*map(re.escape, names), *patterns))})$"


def _sink(name: str) -> Rights:
    """A sink's queue is already declared."""
    queue = sink_queue(name).name
    return Rights(configure=_NOTHING, write=_names(dlx(queue)), read=_names(queue))


RIGHTS: Final = {
    "distributor": Rights(
        configure=_names(patterns=(_ANY_BOARD,)),
        write=_names(EVENTS, dlx(TASKSETS), patterns=(_ANY_BOARD,)),
        read=_names(COMMANDS, TASKSETS, patterns=(_ANY_BOARD,)),
    ),
    "controller": Rights(
        configure=_names(f"{CONTROLLER}.active", patterns=(_TEMPORARY,)),
        write=_names(EVENTS, COMMANDS, inbox(TASKSETS), dlx(CONTROLLER), patterns=(_TEMPORARY,)),
        read=_names(EVENTS, CONTROLLER, patterns=(_TEMPORARY,)),
    ),
    "sqlite_sink": _sink("sqlite"),
    "csv_sink": _sink("csv"),
    "postgres_sink": _sink("postgres"),
    "handler": Rights(
        configure=_names(patterns=(_ANY_HANDLER,)),
        write=_names(patterns=(_ANY_HANDLER,)),
        read=_names(EVENTS, HANDLERS_DLX, patterns=(_ANY_HANDLER,)),
    ),
    "cli": Rights(
        configure=_names(patterns=(_TEMPORARY,)),
        write=_names(EVENTS, COMMANDS, patterns=(_ANY_INBOX, _TEMPORARY)),
        read=_names(EVENTS, TASKSETS, patterns=(_ANY_PARKED, _TEMPORARY)),
    ),
}
"""By user; `handler` is for a user's own handlers, `cli` for people."""

EVENT_KEYS: Final = {
    "controller": r"^(status\.controller|results\..*)$",
    "cli": r"^refused\..*",
}
"""The only keys with which a user may publish to the exchange of events."""

TAGS: Final = {"cli": ["management"]}
"""People may list the queues: docs/decisions/0013-no-way-around-the-exchanges.md."""
