"""Services as the real processes they are: started, watched through their port, ended or killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_PORT = re.compile(r"http://127\.0\.0\.1:(\d+)/healthz")


class Service:
    """`python -m services.<name>` with these variables; its log is a file.

    Args:
        name: such as `distributor`; with arguments any module.
        arguments: of `python -m <name>`.
        variables: without the prefix, in lower case: `amqp_url="amqp://..."`.
    """

    def __init__(self, name: str, *arguments: str, **variables: object) -> None:
        self.name = name
        number, path = tempfile.mkstemp(prefix=f"taskgen-{name}-", suffix=".log")
        self._log = Path(path)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKGEN_")}
        given = {"http_port": 0, **variables}
        environment |= {f"TASKGEN_{key.upper()}": str(value) for key, value in given.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *((name, *arguments) if arguments else [f"services.{name}"])],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=number,
            stderr=number,
        )
        os.close(number)

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        """Ask its HTTP port: status and text; 0 if it does not answer yet."""
        found = _PORT.search(self.log)
        if found is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def health(self) -> Mapping[str, Any]:
        """The parts that /healthz reports; empty if it does not answer yet."""
        _, text = self.get("/healthz")
        parts: dict[str, Any] = json.loads(text) if text else {}
        return parts

    def wait_healthy(self) -> Self:
        """Wait until it reports that it is healthy."""
        wait_until(
            lambda: self.get("/healthz")[0] == 200 or self.process.poll() is not None,
            60,
            f"{self.name} to be healthy; it said\n{self.log}",
        )
        assert self.process.poll() is None, self.log
        return self

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
        if kind is not None:
            sys.stderr.write(f"--- {self.name}\n{self.log}\n")
        self._log.unlink()
