"""What a test may do with a server, whatever runs it."""

from abc import ABC, abstractmethod
from typing import Protocol

from tests.support.waiting import wait_until


class Runner(Protocol):
    """What runs a server: a process or a container, which starts again on the same data."""

    @property
    def is_running(self) -> bool: ...
    @property
    def log(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...
    def run(self, *command: str) -> str: ...


class Server(ABC):
    """A server of the tests' own, which a test may stop, kill and start again."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it takes connections, with user and password."""

    @abstractmethod
    def _takes_connections(self) -> bool: ...

    def start(self) -> None:
        """Return when the server takes connections; does nothing if it runs."""
        if not self._runner.is_running:
            self._runner.start()
            wait_until(self._is_ready, 90, f"{type(self).__name__} to take connections")

    def stop(self) -> None:
        """Shut down in order, as for an upgrade; connections are closed."""
        self._runner.stop()

    def kill(self) -> None:
        """End at once, as in a power cut."""
        self._runner.kill()

    def close(self) -> None:
        """Stop for good and remove the data."""
        self._runner.close()

    def _is_ready(self) -> bool:
        if not self._runner.is_running:
            raise RuntimeError(f"{type(self).__name__} has ended:\n{self._runner.log[-2000:]}")
        return self._takes_connections()
