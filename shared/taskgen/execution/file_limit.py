"""How many files this process may have open: each board takes one, and what is without one dies."""

from __future__ import annotations

import resource
from typing import Final

from taskgen.errors import SettingsError

OTHER_FILES: Final = 256
"""Enough for all but boards: modules, stores, logs, power commands, connections to the broker."""


def allow_boards(count: int) -> None:
    """See that so many boards can be connected at once; the soft limit is raised for them.

    Raises:
        SettingsError: the hard limit forbids it.
    """
    wanted = count + OTHER_FILES
    allowed = allow_open_files(wanted)
    if allowed < wanted:
        raise SettingsError(
            f"boards: {count}; they need {wanted} open files, and this process may have {allowed}; raise "
            f"that limit (as root: ulimit -n {wanted}), or give fewer boards"
        )


def allow_open_files(wanted: int) -> int:
    """Raise this process's soft limit towards the hard one, if that is needed; returns what may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
