"""RabbitMQ and PostgreSQL from a Docker engine that answers."""

import secrets
import shutil
import subprocess
from functools import partial

from tests.support.servers import postgres, rabbitmq
from tests.support.servers.process import free_port
from tests.support.waiting import wait_until

RABBITMQ_IMAGE = "rabbitmq:4-management"
POSTGRES_IMAGE = "postgres:17"


def docker_error(image: str) -> str | None:
    """Why no container of that image can be had; None if it can, the image being here then."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if _run("docker", "info").returncode:
        return "no Docker engine answers"
    if _run("docker", "image", "inspect", image).returncode and _run("docker", "pull", image).returncode:
        return f"the Docker engine cannot pull {image}"
    return None


class _Container:
    """A container that is removed with its data when the tests end, even if these are killed."""

    def __init__(self, image: str, ports: dict[int, int], env: dict[str, str]) -> None:
        self._name = f"taskgen-{secrets.token_hex(6)}"
        publish = [f"--publish=127.0.0.1:{ours}:{theirs}" for ours, theirs in ports.items()]
        settings = [f"--env={name}={value}" for name, value in env.items()]
        _docker("create", f"--name={self._name}", *publish, *settings, image)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; docker rm -f -v "$1"', "guard", self._name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self) -> None:
        _docker("start", self._name)

    def stop(self) -> None:
        _docker("stop", "-t", "30", self._name)

    def kill(self) -> None:
        if self._is_running():
            _docker("kill", self._name)

    def close(self) -> None:
        self._guard.kill()
        self._guard.communicate()
        _docker("rm", "--force", "--volumes", self._name)

    def _is_running(self) -> bool:
        return _docker("inspect", "--format={{.State.Running}}", self._name).strip() == "true"


class DockerRabbit(_Container):
    """A broker in a container, to stop, kill and start again as `PrivateRabbit` is."""

    def __init__(self) -> None:
        self._amqp_port, self._management_port = free_port(), free_port()
        super().__init__(RABBITMQ_IMAGE, {self._amqp_port: 5672, self._management_port: 15672}, {})

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._amqp_port}/%2F"

    @property
    def management_url(self) -> str:
        return f"http://guest:guest@127.0.0.1:{self._management_port}"

    def start(self) -> None:
        """Return when the broker takes connections; does nothing if it runs."""
        super().start()
        is_ready = partial(rabbitmq.takes_connections, self._amqp_port, self.management_url)
        wait_until(is_ready, 90, "RabbitMQ takes connections")

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` with these arguments says."""
        return _docker("exec", self._name, "rabbitmqctl", "--quiet", *arguments)

    def sync(self) -> None:
        """As `PrivateRabbit.sync`."""
        self.ctl("eval", rabbitmq.SYNC)


class DockerPostgres(_Container):
    """A PostgreSQL in a container, to stop, kill and start again as `PrivatePostgres` is."""

    def __init__(self) -> None:
        self._port = free_port()
        super().__init__(POSTGRES_IMAGE, {self._port: 5432}, {"POSTGRES_PASSWORD": postgres.PASSWORD})

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{postgres.PASSWORD}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Return when the server takes connections; does nothing if it runs."""
        super().start()
        wait_until(partial(postgres.takes_connections, self.url), 90, "PostgreSQL takes connections")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def _docker(*arguments: str) -> str:
    done = _run("docker", *arguments)
    if done.returncode:
        raise RuntimeError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
