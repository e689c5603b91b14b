"""Chromium for the tests: what is installed, else Debian's package."""

import os
import shutil
from pathlib import Path

_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def given_chromium() -> Path | None:
    """The one that `TASKGEN_TEST_CHROMIUM` names."""
    path = os.environ.get("TASKGEN_TEST_CHROMIUM")
    return Path(path) if path else None


def installed_chromium() -> Path | None:
    """The first one in the PATH."""
    return next((Path(path) for name in _COMMANDS if (path := shutil.which(name))), None)
