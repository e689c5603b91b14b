"""A private RabbitMQ from installed binaries: own data, ports, cookie and epmd, on 127.0.0.1 only."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

from tests.support.servers.management import Management
from tests.support.servers.process import ServerProcess, free_port
from tests.support.waiting import wait_until

_SERVERS = (
    # Debian's command in the PATH only works as root or rabbitmq, on the data of the system: not that one.
    "usr/lib/rabbitmq/bin/rabbitmq-server",
    "usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server",
    "opt/rabbitmq*/sbin/rabbitmq-server",
)

# The alarms' limits are absolute, so that a full or small machine does not block the publishers of a test.
_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
vm_memory_high_watermark.absolute = 2GB
disk_free_limit.absolute = 10MB
log.console.level = warning
"""

SYNC = "[dets:sync(Table) || Table <- dets:all()]."


@dataclass(frozen=True)
class RabbitBinaries:
    """Where the parts of an installed RabbitMQ are."""

    server: Path
    epmd: Path

    @staticmethod
    def find() -> "RabbitBinaries | None":
        """What this machine has installed, if it has all of it."""
        found = [path for pattern in _SERVERS for path in sorted(Path("/").glob(pattern))]
        if not found and (elsewhere := shutil.which("rabbitmq-server")):
            found = [Path(elsewhere)]
        epmd = shutil.which("epmd")
        return RabbitBinaries(found[0], Path(epmd)) if found and epmd else None


@dataclass
class PrivateRabbit:
    """A broker that a test may stop, kill and start again, on the same ports and data."""

    binaries: RabbitBinaries
    amqp_port: int = field(default_factory=free_port)
    management_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="taskgen-rabbitmq-"))
        self._env = self._environment()
        self._epmd: ServerProcess | None = None
        self._server: ServerProcess | None = None
        (self._home / "rabbitmq.conf").write_text(
            _CONFIGURATION.format(amqp=self.amqp_port, management=self.management_port)
        )
        (self._home / "plugins").write_text("[rabbitmq_management].\n")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.amqp_port}/%2F"

    @property
    def management_url(self) -> str:
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    def start(self) -> None:
        """Return when the broker takes connections; does nothing if it runs."""
        if self._server is not None and self._server.is_running:
            return
        if self._epmd is None:
            command: list[str | Path] = [
                self.binaries.epmd,
                "-port",
                self._env["ERL_EPMD_PORT"],
                "-address",
                "127.0.0.1",
            ]
            self._epmd = ServerProcess(command, self._home / "epmd.log", self._home, env=self._env)
        self._server = ServerProcess(
            [self.binaries.server], self._home / "server.log", self._home, env=self._env
        )
        wait_until(self._is_ready, 60, "RabbitMQ takes connections")

    def stop(self) -> None:
        """Shut down in order, as for an upgrade."""
        if self._server is not None:
            self._server.stop(signal.SIGTERM)

    def kill(self) -> None:
        """End at once, as in a power cut; call `sync()` before it where queues have just been declared."""
        if self._server is not None:
            self._server.kill()

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` with these arguments says; it takes a second or two."""
        command: list[str | Path] = [self.binaries.server.with_name("rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(
            command, env=self._env, stdout=subprocess.PIPE, text=True, check=True, timeout=60
        )
        return str(done.stdout)

    def sync(self) -> None:
        """Return when a broker that is killed would find all its quorum queues again.

        RabbitMQ writes a new quorum queue's name to disk only about a second after it confirmed the
        declaration. Killed (SIGKILL) before that, RabbitMQ 3.10 answers nobody about this queue ever after.
        """
        self.ctl("eval", SYNC)

    def close(self) -> None:
        """Stop for good and remove the data."""
        for process in (self._server, self._epmd):
            if process is not None:
                process.kill()
        shutil.rmtree(self._home)

    def _is_ready(self) -> bool:
        assert self._server is not None
        self._server.require_running("RabbitMQ")
        return takes_connections(self.amqp_port, self.management_url)

    def _environment(self) -> dict[str, str]:
        home = self._home
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"taskgen{self.amqp_port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(home / "no-more-files"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "no-such.config"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-such.sh"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": os.devnull,
            # The start script then becomes the server, instead of waiting for it as its parent.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def takes_connections(amqp_port: int, management_url: str) -> bool:
    """Whether a broker on 127.0.0.1 answers at both its ports."""
    return _speaks_amqp(amqp_port) and _answers(management_url)


def _speaks_amqp(port: int) -> bool:
    """Whether a listener answers the protocol header with a frame: AMQP 0-9-1, section 2.2.4."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"AMQP\0\0\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def _answers(management_url: str) -> bool:
    try:
        Management(management_url).request("GET", "/api/overview")
    except (URLError, OSError):
        return False
    return True
