"""Provenance of a campaign: who ran it, on which host, with which versions and which command."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from taskgen.redaction import without_password
from taskgen.run import CampaignFacts

_PACKAGE: Final = "taskgen-events"
_GIT_TIMEOUT_S: Final = 5.0


def campaign_facts(name: str = "", note: str = "", *, command: str = "") -> CampaignFacts:
    """Collect the provenance of a campaign that begins now.

    Args:
        name: given by its user.
        note: given by its user.
        command: what began it; empty: the command line of this process. Passwords are removed.
    """
    return CampaignFacts(
        name=name,
        note=note,
        user_name=_user(),
        host=platform.node(),
        taskgen_version=installed_version(),
        python_version=platform.python_version(),
        git_commit=_git_commit(Path.cwd()),
        command=without_password(command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        return str(os.getuid())


def installed_version() -> str:
    """The version of this package; empty if it is not installed."""
    try:
        return version(_PACKAGE)
    except (PackageNotFoundError, OSError):  # used from a source folder, or no file can be opened
        return ""


def _git_commit(folder: Path) -> str:
    """The commit of a folder; empty if it is in no repository, or there is no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit and _git(folder, "status", "--porcelain", "--untracked-files=no"):
        commit += "-dirty"
    return commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)  # noqa: S603 - of our own
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
