"""Conditions that select runs, such as `task1.priority=5`, `outcome=finished` or `board=HOST:PORT`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from taskgen.errors import SettingsError
from taskgen.untrusted_text import printable

_MOST_LISTED: Final = 10
_LONGEST: Final = 60


class Condition(NamedTuple):
    """What a run has to have."""

    name: str
    value: str
    """As a user writes it: see `texts_of`."""


def condition(text: str) -> Condition:
    """Parse `NAME=VALUE`; spaces belong to the value.

    Raises:
        SettingsError: it is none.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise SettingsError(f"{text!r} is not a condition; write NAME=VALUE, such as task1.priority=5")
    return Condition(name.strip(), value)


def check_conditions(conditions: Iterable[Condition], runs: Sequence[Mapping[str, Any]], store: str) -> None:
    """Check that each condition can be meant: a mistyped one would silently select nothing.

    Args:
        conditions: what was asked for.
        runs: the values of each run by name; if there are none, nothing can be said.
        store: how the store is called.

    Raises:
        SettingsError: no run has such a name, or such a value of it; the text lists those that there are.
    """
    if not runs:
        return
    for name, value in conditions:
        values = [run[name] for run in runs if name in run]
        if not values:
            names = dict.fromkeys(name for run in runs for name in run)
            raise SettingsError(f"{store}: no run has a {name!r}; there are {_listed(names)}")
        if not any(value in texts_of(one) for one in values):
            there_are = _listed(dict.fromkeys(map(_shown, values)))
            raise SettingsError(f"{store}: no run has {name}={value!r}; there are {there_are}")
    if not any(fits(run, conditions) for run in runs):
        wanted = " and ".join(f"{name}={value!r}" for name, value in conditions)
        raise SettingsError(f"{store}: no run has {wanted} at the same time")


def fits(run: Mapping[str, Any], conditions: Iterable[Condition]) -> bool:
    """Whether all conditions hold for the values of a run."""
    return all(name in run and value in texts_of(run[name]) for name, value in conditions)


def texts_of(value: object) -> tuple[str, str]:
    """How a value may be written: as it is shown, or as JSON; `True` and `true` are the same."""
    return str(value), json.dumps(value, default=str)


def _shown(value: object) -> str:
    text = str(value)
    return text if text and text == text.strip() else repr(text)


def _listed(names: Iterable[str]) -> str:
    known = [printable(name, _LONGEST) for name in names]
    more = f" and {len(known) - _MOST_LISTED:,} more" if len(known) > _MOST_LISTED else ""
    return ", ".join(known[:_MOST_LISTED]) + more
