"""One run: a variant of a task-set executed once on one board, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import uuid6

from taskgen.errors import SettingsError
from taskgen.untrusted_text import printable

_MIN_PART: Final = 4
_MAX_LISTED: Final = 5


class Outcome(StrEnum):
    """How a run ended. A fault of the lab is never recorded as a fault of the task-set."""

    FINISHED = "finished"
    """All of its tasks have terminated."""
    STOPPED_BY_RULE = "stopped_by_rule"
    """The deciding handler stopped it."""
    STOPPED_BY_USER = "stopped_by_user"
    """A user stopped it."""
    TIMED_OUT = "timed_out"
    """It took longer than its timeout."""
    BOARD_LOST = "board_lost"
    """The board was lost during the run."""
    BOARD_ERROR = "board_error"
    """The board violated the protocol, or the run ended in a way that `RetryOn` counts as its fault."""
    DISTRIBUTOR_LOST = "distributor_lost"
    """The distributor that ran it stopped, died or lost its lease on the board."""

    @property
    def is_result(self) -> bool:
        """Whether the run is a result of the task-set, so that there is no further attempt."""
        return self not in FAULTS_OF_THE_LAB


FAULTS_OF_THE_LAB = frozenset({Outcome.BOARD_LOST, Outcome.BOARD_ERROR, Outcome.DISTRIBUTOR_LOST})


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562) as text; such ids sort by time."""
    return str(uuid6.uuid7())


def resolve_id(part: str, kinds: Mapping[str, str]) -> str | None:
    """Return the one id that is this text, or else begins or ends with it; None if there is none.

    Args:
        part: what a user has written; a part of an id has at least four characters.
        kinds: all ids, each with what it identifies, such as `run`.

    Raises:
        SettingsError: several ids begin or end with it; the text lists them.
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


def resolve_campaign(wanted: str, names: Mapping[str, str], store: str) -> str:
    """Return the id of the campaign of this name, or else of the one whose id contains it.

    Args:
        wanted: what a user has written.
        names: the name of each campaign, which may be empty, by id.
        store: where they are.

    Raises:
        SettingsError: there is none or more than one; the text lists what there is.
    """
    found = [one for one, name in names.items() if name == wanted]
    if not found and len(wanted) >= _MIN_PART:
        found = [one for one in names if wanted in one]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(found)
        raise SettingsError(f"{store} has several campaigns {wanted!r}; give the id of one: {ids}")
    listed = sorted(f"{name} ({one})" if name else one for one, name in names.items())
    there_are = f"its campaigns: {', '.join(map(printable, listed))}" if listed else "it has no campaigns"
    raise SettingsError(f"{store} has no campaign {wanted!r}; {there_are}")


def now() -> str:
    """Return the host's time as it is stored: UTC, ISO 8601, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """The provenance of a campaign when it begins; fields are empty if unknown."""

    campaign_id: str = field(default_factory=new_id)
    """UUIDv7 of the campaign."""
    name: str = ""
    """Given by its user."""
    note: str = ""
    """Given by its user."""
    user_name: str = ""
    """Account that began it ..."""
    host: str = ""
    """... and the machine."""
    taskgen_version: str = ""
    python_version: str = ""
    git_commit: str = ""
    """Of the working directory, followed by `-dirty` if something is not committed."""
    command: str = ""
    """The command line."""
    started_at: str = field(default_factory=now)
    """Host's time, UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """The stored facts about a variant."""

    taskset_id: str
    """The same for all attempts at it."""
    campaign_id: str
    source: str
    """File or module that the task-set comes from."""
    variant: int
    """Number of the variant in `TaskSet.variants()`, from 0."""
    parameters: Mapping[str, Any]
    """Those that vary, and their values, such as `{"task1.priority": 5}`."""


def variant_text(variant: int, parameters: Mapping[str, Any]) -> str:
    """Format a variant: `variant 3 (task1.priority=5 task1.config.arg1=40)`."""
    return f"variant {variant}" + (f" ({parameter_text(parameters)})" if parameters else "")


def parameter_text(parameters: Mapping[str, Any]) -> str:
    """Format parameters: `task1.priority=5 task1.config.arg1=40`."""
    return " ".join(f"{name}={value}" for name, value in parameters.items())


@dataclass(slots=True)
class Run:
    """The run that a handler is called for: `taskset.run`.

    The fields up to `origin` are fixed when the run begins. `first_seq` and `received_at` describe the
    profile being handled. The rest is set before `__taskset_finish__` or `__taskset_stop__` is called.
    """

    board: str
    """`host:port` of the board."""
    run_id: str = field(default_factory=new_id)
    """UUIDv7 of the run."""
    taskset_id: str = field(default_factory=new_id)
    """The same for all attempts at one variant."""
    attempt: int = 1
    """Number of the attempt at this variant, from 1."""
    variant: int = 0
    """Number of the variant in `TaskSet.variants()`, from 0."""
    started_at: str = field(default_factory=now)
    """Host's time, UTC, ISO 8601."""
    source: str = ""
    """File or module that the task-set comes from."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The parameters that vary, with the values of this variant, such as `{"task1.priority": 5}`."""
    campaign: CampaignFacts | None = None
    """The campaign that it belongs to; None if unknown."""
    binaries: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 (hexadecimal) of the binaries that the distributor has for it, by name."""
    origin: Any = None
    """Whatever the `AssignmentSource` has attached to the task-set; None in one process."""

    first_seq: int = 0
    """Number, within the run, of the first event of the profile being handled."""
    received_at: str = ""
    """When that profile was read from the socket; host's time, UTC, ISO 8601."""

    ended_at: str = ""
    """Host's time, UTC, ISO 8601; empty until the run has ended."""
    outcome: Outcome | None = None
    """How it ended; None until then."""
    reason: str = ""
    """One sentence, if the outcome alone does not explain it."""
    events: int = 0
    """Total number of events of the run, once it has ended."""
    results: dict[str, Any] = field(default_factory=dict)
    """Results recorded by handlers: see `record`."""

    def record(self, **results: Any) -> None:
        """Record results of the run, by name; stores keep them in their table `results`.

        A value is whatever JSON can represent: numbers, texts, lists and dictionaries. A later value of the
        same name replaces an earlier one.

        Raises:
            TypeError: a value cannot be represented.
        """
        json.dumps(results)
        self.results.update(results)
