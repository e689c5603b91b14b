"""Processes of servers that never outlive the tests, however these end."""

import os
import pwd
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import wait_until

# Below the ports that Linux gives to outgoing connections (32768 and up): a client that keeps asking for a
# stopped server's port could otherwise be given that very port, connect to itself and keep the server out.
_PORTS = range(20000, 32768)

# Ends when the tests' end of its standard input is closed, by whatever death, and takes the server with it.
_GUARD = 'read -r _; kill -s KILL -- "-$1"; rm -rf -- "$2"'


class ServerProcess:
    """A server, leader of a process group, whose output goes to `log`.

    Should the tests die without stopping it, it is killed and `scratch` is removed.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        scratch: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=scratch,
                user=user,
                group=None if user is None else _group(user),
                extra_groups=None if user is None else [],
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid), scratch],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def require_running(self, name: str) -> None:
        """Raise with the end of the log if the process has ended by itself."""
        if not self.is_running:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{name} ended with code {self._process.returncode}:\n{tail}")

    def stop(self, how: signal.Signals, within_s: float = 30) -> None:
        """Ask the server to end; kill it if it does not within that time."""
        self._process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        self.kill()

    def kill(self) -> None:
        """End the whole group at once (SIGKILL) and wait until nothing of it is left."""
        if self._guard.poll() is not None:
            return  # done before; the group's number may be somebody else's by now
        group = self._process.pid
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not _lives(group), 10, f"the end of process group {group}")
        self._guard.kill()
        self._guard.communicate()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at now."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _lives(group: int) -> bool:
    """Whether a process of the group is left that is no zombie (whose reaping may not be up to us)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(pgrp) == group and state not in "ZX":
            return True
    return False
