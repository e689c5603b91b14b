"""RabbitMQ and PostgreSQL from a Docker engine that answers."""

import secrets
import shutil
import subprocess
from collections.abc import Mapping

import port_for

from tests.support.servers.postgres import PASSWORD, Postgres
from tests.support.servers.process import Guard
from tests.support.servers.rabbitmq import Broker

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


def docker_rabbitmq() -> Broker:
    """A broker in a container that is not started yet."""
    amqp, management = port_for.select_random(), port_for.select_random()
    container = Container(RABBITMQ_IMAGE, {amqp: 5672, management: 15672}, {})
    return Broker(container, "rabbitmqctl", amqp, management)


def docker_postgres() -> Postgres:
    """A PostgreSQL in a container that is not started yet."""
    port = port_for.select_random()
    return Postgres(Container(POSTGRES_IMAGE, {port: 5432}, {"POSTGRES_PASSWORD": PASSWORD}), port)


class Container:
    """A container that is removed with its data when the tests end, even if these are killed.

    Args:
        ports: of 127.0.0.1, with those of the container that they lead to.
    """

    def __init__(self, image: str, ports: Mapping[int, int], env: Mapping[str, str]) -> None:
        self._name = f"taskgen-{secrets.token_hex(6)}"
        publish = [f"--publish=127.0.0.1:{ours}:{theirs}" for ours, theirs in ports.items()]
        settings = [f"--env={name}={value}" for name, value in env.items()]
        _docker("create", f"--name={self._name}", *publish, *settings, image)
        self._guard = Guard('docker rm --force --volumes "$1"', self._name)

    @property
    def is_running(self) -> bool:
        return _docker("inspect", "--format={{.State.Running}}", self._name).strip() == "true"

    @property
    def log(self) -> str:
        """What it has said last."""
        done = _run("docker", "logs", "--tail=100", self._name)
        return done.stdout + done.stderr

    def start(self) -> None:
        _docker("start", self._name)

    def stop(self) -> None:
        _docker("stop", "-t", "30", self._name)

    def kill(self) -> None:
        if self.is_running:
            _docker("kill", self._name)

    def close(self) -> None:
        self._guard.dismiss()
        _docker("rm", "--force", "--volumes", self._name)

    def run(self, *command: str) -> str:
        return _docker("exec", self._name, *command)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def _docker(*arguments: str) -> str:
    done = _run("docker", *arguments)
    if done.returncode:
        raise RuntimeError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
