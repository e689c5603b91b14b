"""A lab under docker compose: a project of its own on whatever Docker engine is there."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BUILD_S = 900
_CALL_S = 240


def engine_error() -> str | None:
    """Why no project can be brought up here; None if one can."""
    for command in (["docker", "compose", "version"], ["docker", "info"]):
        try:
            done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        except FileNotFoundError:
            return "there is no docker command"
        if done.returncode:
            return f"`{' '.join(command)}` fails: no Docker engine with Compose answers"
    return None


class Compose:
    """A project of the repository's docker-compose.yml, its name and ports its own.

    Args:
        variables: of the environment, as in .env.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.project = f"taskgen-test-{secrets.token_hex(4)}"
        ours = ("TASKGEN_", "COMPOSE_")
        mine = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        ports = {f"TASKGEN_{name}_PORT": "0" for name in ("AMQP", "MANAGEMENT", "POSTGRES")}
        self._environment = {**mine, **ports, **variables, "COMPOSE_PROFILES": "demo,handler"}

    def call(self, *arguments: str, timeout_s: float = _CALL_S) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` with these arguments, to its end, whatever that is."""
        command = ["docker", "compose", "--project-name", self.project, "--progress", "quiet", *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def do(self, *arguments: str, timeout_s: float = _CALL_S) -> str:
        """Run `docker compose`; its output."""
        done = self.call(*arguments, timeout_s=timeout_s)
        assert not done.returncode, f"docker compose {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self, *arguments: str) -> None:
        """Bring everything up and wait until it is healthy."""
        done = self.call("up", "--detach", "--wait", *arguments, timeout_s=_BUILD_S)
        assert not done.returncode, f"{done.stderr[-5000:]}\n{self.logs()}"

    def logs(self) -> str:
        """The state of each container, and the end of its log."""
        return self.call("ps", "--all").stdout + self.call("logs", "--tail", "30").stdout

    def cli(self, *arguments: str, timeout_s: float = _CALL_S) -> subprocess.CompletedProcess[str]:
        """Run the `taskgen` command in its container."""
        return self.call("run", "--rm", "--no-TTY", "cli", *arguments, timeout_s=timeout_s)

    def python(self, service: str, code: str) -> subprocess.CompletedProcess[str]:
        """Run a piece of Python where a service runs."""
        return self.call("exec", "--no-TTY", service, "python", "-c", code)

    def crash(self, service: str) -> str:
        """Kill what runs in a service's first container, as a bug would; gives the container's id.

        `docker kill` would not do: it tells the engine that the container is to stay down.
        """
        container = self.containers(service)[0]["ID"]
        self.call("exec", "--no-TTY", service, "sh", "-c", "kill -KILL -1")
        return str(container)

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """All containers, of one service or of every one."""
        which = [service] if service else []
        lines = self.do("ps", "--all", "--no-trunc", "--format", "json", *which).splitlines()
        return sorted((json.loads(line) for line in lines), key=lambda one: str(one["Name"]))

    def remove(self) -> None:
        """Remove everything, also what an interrupted `run` left, which `down` does not see."""
        ours = f"label=com.docker.compose.project={self.project}"
        listed = subprocess.run(
            ["docker", "ps", "--quiet", "--filter", ours, "--filter", "label=com.docker.compose.oneoff=True"],
            capture_output=True,
            text=True,
            check=True,
        )
        if left := listed.stdout.split():
            subprocess.run(["docker", "rm", "--force", *left], capture_output=True, check=True)
        everything = ("--volumes", "--rmi", "local", "--remove-orphans", "--timeout", "5")
        self.call("--profile", "*", "down", *everything, timeout_s=_BUILD_S)

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        done = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found[0]


@contextmanager
def compose(variables: Mapping[str, str]) -> Iterator[Compose]:
    """A project that leaves nothing behind; nothing of it is up yet."""
    project = Compose(variables)
    try:
        yield project
    finally:
        project.remove()
