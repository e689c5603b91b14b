"""A private PostgreSQL from installed binaries: own data and port, on 127.0.0.1 only."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.support.servers.process import ServerProcess, free_port
from tests.support.waiting import wait_until

PASSWORD = "taskgen"  # of a server that only this machine reaches, and only while the tests run

# Without fsync a commit outlives the server's death, though not the machine's: enough here, and faster.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


@dataclass(frozen=True)
class PostgresBinaries:
    """The folder with `initdb` and `postgres` of one version."""

    folder: Path

    @staticmethod
    def find() -> "PostgresBinaries | None":
        """The newest version installed here."""
        debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
        if debian:
            return PostgresBinaries(max(debian, key=lambda folder: float(folder.parent.name)))
        elsewhere = shutil.which("postgres")
        return PostgresBinaries(Path(elsewhere).resolve().parent) if elsewhere else None


@dataclass
class PrivatePostgres:
    """A server that a test may stop, kill and start again, on the same port and data."""

    binaries: PostgresBinaries
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="taskgen-postgresql-"))
        self._user = _other_user() if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._home, self._user)
        self._server: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Return when the server takes connections; does nothing if it runs."""
        if self._server is not None and self._server.is_running:
            return
        data = self._home / "data"
        if not data.exists():
            self._initialise(data)
        settings = {**_SETTINGS, "port": str(self.port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        command: list[str | Path] = [self.binaries.folder / "postgres", "-D", data, *options]
        self._server = ServerProcess(command, self._home / "server.log", self._home, user=self._user)
        wait_until(self._is_ready, 60, "PostgreSQL takes connections")

    def stop(self) -> None:
        """Shut down in order; connections are closed (a "fast" shutdown)."""
        if self._server is not None:
            self._server.stop(signal.SIGINT)

    def kill(self) -> None:
        """End at once, as in a power cut."""
        if self._server is not None:
            self._server.kill()

    def close(self) -> None:
        """Stop for good and remove the data."""
        self.kill()
        shutil.rmtree(self._home)

    def _initialise(self, data: Path) -> None:
        password = self._home / "password"
        password.write_text(PASSWORD)
        command: list[str | Path] = [self.binaries.folder / "initdb", "-D", data, "--no-sync"]
        command += [
            "--username=postgres",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ]
        group = None if self._user is None else pwd.getpwnam(self._user).pw_gid
        subprocess.run(
            command, user=self._user, group=group, cwd=self._home, check=True, stdout=subprocess.DEVNULL
        )

    def _is_ready(self) -> bool:
        assert self._server is not None
        self._server.require_running("PostgreSQL")
        return takes_connections(self.url)


def takes_connections(url: str) -> bool:
    """Whether a connection to the server succeeds now."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _other_user() -> str:
    """Whom PostgreSQL runs as where the tests are root, which it refuses to be."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
