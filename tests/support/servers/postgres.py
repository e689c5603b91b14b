"""PostgreSQL for the tests, and a private one from installed binaries, with its own data and port."""

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import port_for
import psycopg

from tests.support.servers.process import ServerProcess
from tests.support.servers.server import Runner, Server

PASSWORD = "taskgen"  # of a server that only this machine reaches, and only while the tests run

# Without fsync a commit outlives the server's death, though not the machine's: enough here, and faster.
_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200")
_NOT_DURABLE = ("fsync=off", "full_page_writes=off")
_INITDB = ("--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")


class Postgres(Server):
    """A PostgreSQL on 127.0.0.1."""

    def __init__(self, runner: Runner, port: int) -> None:
        super().__init__(runner)
        self._port = port

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self._port}/postgres"

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def installed_postgres(*, is_durable: bool = False) -> Callable[[], Postgres] | None:
    """What makes a private server from the newest version that is installed here, if one is."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(debian, key=lambda path: float(path.parts[-3]), default=shutil.which("postgres"))
    if newest is None:
        return None
    return partial(_private_postgres, Path(newest).resolve().parent, () if is_durable else _NOT_DURABLE)


def _private_postgres(folder: Path, more_settings: tuple[str, ...]) -> Postgres:
    home = Path(tempfile.mkdtemp(prefix="taskgen-postgresql-"))
    user = None
    if os.geteuid() == 0:  # which PostgreSQL refuses to be
        user = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
        shutil.chown(home, user)
    port = port_for.select_random()
    settings = [f"--{setting}" for setting in (*_SETTINGS, *more_settings, f"port={port}")]
    command = [str(folder / "postgres"), "-D", str(home / "data"), *settings]
    process = ServerProcess(command, home, user=user, ends_on=signal.SIGINT)
    password = home / "password"
    password.write_text(PASSWORD)
    process.run(folder / "initdb", "-D", home / "data", f"--pwfile={password}", *_INITDB)
    return Postgres(process, port)
