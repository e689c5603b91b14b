"""One run: a variant of a task-set executed once on one board, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import uuid6

from taskgen.errors import SettingsError

_MIN_PART: Final = 4
_MAX_LISTED: Final = 5


class Outcome(StrEnum):
    """How a run ended. A fault of the lab is never written down as a fault of the task-set."""

    FINISHED = "finished"
    """All its tasks are terminated."""
    STOPPED_BY_RULE = "stopped_by_rule"
    """The handler that decides ended it."""
    STOPPED_BY_USER = "stopped_by_user"
    """A user ended it."""
    TIMED_OUT = "timed_out"
    """It took longer than its timeout."""
    BOARD_LOST = "board_lost"
    """The board was lost during the run."""
    BOARD_ERROR = "board_error"
    """The board broke the protocol."""
    DISTRIBUTOR_LOST = "distributor_lost"
    """The distributor that ran it stopped, died or lost its lease on the board."""

    @property
    def is_result(self) -> bool:
        """Whether the task-set was answered for: such a run is never tried again."""
        return self not in FAULTS_OF_THE_LAB


FAULTS_OF_THE_LAB = frozenset({Outcome.BOARD_LOST, Outcome.BOARD_ERROR, Outcome.DISTRIBUTOR_LOST})


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as text: unique without asking anyone, and sorted by time."""
    return str(uuid6.uuid7())


def resolve_id(part: str, kinds: Mapping[str, str]) -> str | None:
    """Find the one id that is this text, or else begins or ends with it; None if there is no such id.

    Args:
        part: as a user gives it; shorter than four characters only a whole id counts.
        kinds: all ids, each with what it is the id of, such as `run`.

    Raises:
        SettingsError: several ids begin or end so; they are listed.
    """
    if part in kinds:
        return part
    found = [
        one
        for one in sorted(kinds)
        if len(part) >= _MIN_PART and (one.startswith(part) or one.endswith(part))
    ]
    if len(found) > 1:
        listed = [f"{kinds[one]} {one}" for one in found[:_MAX_LISTED]]
        more = [f"{len(found) - _MAX_LISTED:,} more"] if len(found) > _MAX_LISTED else []
        raise SettingsError(
            f"{part!r} is ambiguous: it could be {', '.join(listed + more)}; give more of the id"
        )
    return found[0] if found else None


def now() -> str:
    """The host's time as it is stored: UTC, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(slots=True)
class Run:
    """Where a handler is: `taskset.run`.

    The fields above the line are fixed when the run is made. `first_seq` and `received_at` describe the
    profile that is being handled. The last three are set before `__taskset_finish__` or
    `__taskset_stop__` is called.
    """

    board: str
    """`host:port` of the board."""
    run_id: str = field(default_factory=new_id)
    """UUIDv7 of the run."""
    taskset_id: str = field(default_factory=new_id)
    """Stays the same over all attempts at one variant."""
    attempt: int = 1
    """Number of the attempt at this variant, from 1."""
    variant: int = 0
    """Number of the variant in `TaskSet.variants()`, from 0."""
    started_at: str = field(default_factory=now)
    """Host's time, UTC, ISO 8601."""
    origin: Any = None
    """What the `AssignmentSource` gave along with the task-set; nothing in one process."""

    first_seq: int = 0
    """Number, within the run, of the first event of the profile being handled."""
    received_at: str = ""
    """When that profile was read from the socket; host's time, UTC, ISO 8601."""

    ended_at: str = ""
    """Host's time, UTC, ISO 8601; empty until the run has ended."""
    outcome: Outcome | None = None
    """How it ended; None until then."""
    reason: str = ""
    """One sentence, where the outcome alone does not say why."""
    events: int = 0
    """How many events the run has in all; known when it has ended."""
