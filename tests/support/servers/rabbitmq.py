"""RabbitMQ for the tests, and a private one from installed binaries: own data, ports, cookie and epmd."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import port_for

from tests.support.servers.management import Management
from tests.support.servers.process import ServerProcess
from tests.support.servers.server import Runner, Server

_SERVERS = (
    # Debian's command in the PATH only works as root or rabbitmq, on the data of the system: not that one.
    "usr/lib/rabbitmq/bin/rabbitmq-server",
    "usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server",
    "opt/rabbitmq*/sbin/rabbitmq-server",
)

# Its epmd is of the server's process group; one that Erlang starts would be a daemon, and outlive the tests.
_START = 'epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 & exec "$0"'

# The alarms' limits are absolute, so that a full or small machine does not block the publishers of a test.
_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
vm_memory_high_watermark.absolute = 2GB
disk_free_limit.absolute = 10MB
log.console.level = warning
"""


class Broker(Server):
    """A RabbitMQ on 127.0.0.1, with its management plugin.

    Args:
        rabbitmqctl: the command, where `runner` runs.
    """

    def __init__(self, runner: Runner, rabbitmqctl: str, amqp_port: int, management_port: int) -> None:
        super().__init__(runner)
        self._rabbitmqctl = rabbitmqctl
        self._amqp_port = amqp_port
        self._management_port = management_port

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._amqp_port}/%2F"

    @property
    def management_url(self) -> str:
        return f"http://guest:guest@127.0.0.1:{self._management_port}"

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` with these arguments says; it takes a second or two, and a broker that runs."""
        return self._runner.run(self._rabbitmqctl, "--quiet", *arguments)

    def sync(self) -> None:
        """Return when a broker that is killed would find all its quorum queues again.

        RabbitMQ writes a new quorum queue's name to disk only about a second after it confirmed the
        declaration. Killed (SIGKILL) before that, RabbitMQ 3.10 answers nobody about this queue ever after.
        """
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def _takes_connections(self) -> bool:
        """Whether it answers at both its ports: AMQP 0-9-1, section 2.2.4, and the management API."""
        try:
            with socket.create_connection(("127.0.0.1", self._amqp_port), timeout=5) as connection:
                connection.sendall(b"AMQP\0\0\x09\x01")
                if connection.recv(1) != b"\x01":
                    return False
            Management(self.management_url).request("GET", "/api/overview")
        except OSError:
            return False
        return True


def installed_rabbitmq() -> Callable[[], Broker] | None:
    """What makes a private broker from what is installed here, if all of it is."""
    found = [path for pattern in _SERVERS for path in sorted(Path("/").glob(pattern))]
    server = found[0] if found else shutil.which("rabbitmq-server")
    if server is None or shutil.which("epmd") is None:
        return None
    return partial(_private_rabbitmq, Path(server))


def _private_rabbitmq(server: Path) -> Broker:
    home = Path(tempfile.mkdtemp(prefix="taskgen-rabbitmq-"))
    amqp, management, distribution, epmd = (port_for.select_random() for _ in range(4))
    (home / "rabbitmq.conf").write_text(_CONFIGURATION.format(amqp=amqp, management=management))
    (home / "plugins").write_text("[rabbitmq_management].\n")
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"taskgen{amqp}@localhost",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(home / "no-more-files"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "no-such.config"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "no-such.sh"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP": os.devnull,
        # The start script then becomes the server, instead of waiting for it as its parent.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    process = ServerProcess(["/bin/sh", "-c", _START, server], home, env=env)
    return Broker(process, str(server.with_name("rabbitmqctl")), amqp, management)
