"""How many files this process may open: each board needs one."""

from __future__ import annotations

import resource
from typing import Final

from taskgen.errors import SettingsError

OTHER_FILES: Final = 256
"""For everything but boards: modules, stores, logs, power commands, connections to the broker."""


def allow_boards(count: int) -> None:
    """Make sure that this many boards can be connected at once; the soft limit is raised if necessary.

    Raises:
        SettingsError: the hard limit is too low.
    """
    wanted = count + OTHER_FILES
    allowed = allow_open_files(wanted)
    if allowed < wanted:
        raise SettingsError(
            f"{count} boards need {wanted} open files, but this process may open only {allowed}; raise the "
            f"limit (as root: ulimit -n {wanted}), or give fewer boards"
        )


def allow_open_files(wanted: int) -> int:
    """Raise the soft limit towards the hard one if necessary; return how many files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
