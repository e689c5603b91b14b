"""Debian's servers, installed for the tests where nothing else is there and root runs them."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")
_APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")


def install_error(package: str) -> str | None:
    """Install a package; say why that could not be, or None if it is there now."""
    if shutil.which("apt-get") is None:
        return "this is no Debian"
    if os.geteuid() != 0:
        return "only root may install it"
    print(f"tests: no server here; installing Debian's package {package}", file=sys.stderr, flush=True)
    with _one_at_a_time(), _services_kept_from_starting():
        return _apt("update") or _apt("install", "--yes", "--no-install-recommends", package)


def _apt(*arguments: str) -> str | None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        [*_APT, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"apt-get {arguments[0]} failed: {' '.join(done.stderr.split())[-500:]}"
    return None


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep parallel test processes out of each other's way: apt's own lock does not wait for an update."""
    with (Path(tempfile.gettempdir()) / "taskgen-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _services_kept_from_starting() -> Iterator[None]:
    """Have Debian's packages install without starting their services, which the tests do not use."""
    before = _POLICY.read_bytes() if _POLICY.exists() else None
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            _POLICY.unlink()
        else:
            _POLICY.write_bytes(before)
