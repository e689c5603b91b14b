"""Bundles that somebody has changed, and commands that run without what extras install."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

from taskgen.bundle_file import MANIFEST
from tests.support.command_line import environment

DISTRIBUTION = "taskgen-events"
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Blocked())
from taskgen.cli import main
main()
"""


def files_of(bundle: Path) -> dict[str, bytes]:
    """The files of a bundle."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, files: dict[str, bytes], *, with_manifest: bool = False) -> Path:
    """Write files as a zip file; `with_manifest` makes the manifest anew, as a careful forger would."""
    if with_manifest:
        listed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != MANIFEST}
        files = files | {MANIFEST: "".join(f"{sha}  {name}\n" for name, sha in listed.items()).encode()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def extras_modules() -> set[str]:
    """The installed top-level modules that `pip install .` alone does not install."""
    base = _required(DISTRIBUTION, set())
    normalized = {
        module: {_normalized(one) for one in distributions}
        for module, distributions in packages_distributions().items()
    }
    return {module for module, distributions in normalized.items() if not distributions & base}


def run_without(modules: set[str], *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that cannot import these modules."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED.format(names=modules), *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _required(distribution: str, found: set[str]) -> set[str]:
    """A distribution and all that it requires without extras."""
    name = _normalized(distribution)
    if name not in found:
        found.add(name)
        for text in requires(distribution) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                _required(requirement.name, found)
    return found


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
