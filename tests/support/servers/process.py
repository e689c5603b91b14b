"""A server's processes, which never outlive the tests, however these end."""

import os
import pwd
import select
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


class Guard:
    """Runs a line of shell should the tests die before they dismiss it; its first argument is `$1`."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            # The pipe's other end is closed by whatever death the tests die.
            ["/bin/sh", "-c", f"read -r _; {script}", "guard", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        self._process.kill()
        self._process.communicate()


class ServerProcess:
    """A server as the leader of a process group.

    Should the tests die without closing it, it is killed and its home is removed.

    Args:
        home: its working directory, where its log and its data are.
        env: its environment; that of the tests if not given.
        user: who runs it; whoever runs the tests if not given.
        ends_on: the signal that shuts it down in order.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        home: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        ends_on: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._command = command
        self._home = home
        self._where: dict[str, Any] = {"cwd": home, "env": env}
        if user is not None:
            self._where |= {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        self._ends_on = ends_on
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self._home / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it; what is left of a server that ended by itself is ended first."""
        self.kill()
        self._survivors, inherited = os.pipe()
        with (self._home / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                **self._where,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[inherited],
                start_new_session=True,
            )
        os.close(inherited)
        end = 'kill -s KILL -- "-$1"; rm -rf -- "$2"'
        self._guard = Guard(end, str(self._process.pid), str(self._home))

    def stop(self) -> None:
        """Ask the server to end; kill it if it does not within 30 s."""
        if self._process is not None:
            self._process.send_signal(self._ends_on)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        self.kill()

    def kill(self) -> None:
        """End the whole group at once (SIGKILL) and wait until nothing of it is left."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # The pipe is at its end when the last process that inherited the other end is gone.
        ended, _, _ = select.select([self._survivors], [], [], 10)
        assert ended, f"something of process group {self._process.pid} outlived SIGKILL"
        os.close(self._survivors)
        self._guard.dismiss()
        self._process = None

    def close(self) -> None:
        """Kill it and remove its home."""
        self.kill()
        shutil.rmtree(self._home)

    def run(self, *command: str | Path) -> str:
        """The output of a command that runs where and as the server does."""
        done = subprocess.run(
            command, **self._where, stdout=subprocess.PIPE, text=True, check=True, timeout=60
        )
        return str(done.stdout)
