"""The lab's command lines that switch a board on, or power-cycle it."""

from __future__ import annotations

import asyncio
import logging
import shlex
from dataclasses import dataclass
from typing import Final

from taskgen.boards.address import Address
from taskgen.errors import SettingsError

log = logging.getLogger(__name__)

_MAX_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class PowerCommands:
    """Run for a board that stays lost; the board's `{host}`, `{port}` and `{board}` are filled in."""

    cycle: str | None = None
    """For a board that was reachable before."""
    on: str | None = None
    """For a board that was never reachable."""
    after_s: float = 120.0
    """How long a board has to be lost before the command is run, and how long before it is run again."""
    off: str | None = None
    """For every board, when the distributor has disconnected from it for good."""

    def __post_init__(self) -> None:
        for line in (self.cycle, self.on, self.off):
            if line is not None:
                _words(line, Address("host", 1))

    async def run(self, address: Address, *, was_reached: bool) -> None:
        """Run the command that applies; if it fails, its output is logged."""
        line = self.cycle if was_reached else self.on
        if line is None:
            return
        words = _words(line, address)
        log.warning("%s: still lost; running %s", address, shlex.join(words), extra={"board": str(address)})
        await _run_reported(words, address)

    async def switch_off(self, address: Address) -> None:
        """Run the command that switches a board off, if there is one; if it fails, its output is logged."""
        if self.off is not None:
            await _run_reported(_words(self.off, address), address)


async def _run_reported(words: list[str], address: Address) -> None:
    try:
        await _run(words, address)
    except OSError:
        log.exception("%s: %s cannot be run", address, words[0], extra={"board": str(address)})


async def _run(words: list[str], address: Address) -> None:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_MAX_S):
            output, _ = await process.communicate()
    except TimeoutError:
        log.warning("%s: %s did not end within %g s", address, words[0], _MAX_S)
    else:
        if process.returncode:
            text = output.decode(errors="replace").strip()
            log.error("%s: %s failed with exit code %d: %s", address, words[0], process.returncode, text)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _words(line: str, address: Address) -> list[str]:
    try:
        words = [
            word.format(host=address.host, port=address.port, board=str(address))
            for word in shlex.split(line)
        ]
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"power command {line!r}: {error}; it may contain {{host}}, {{port}} and {{board}}"
        ) from error
    if not words:
        raise SettingsError("a power command is empty; write a program and its arguments")
    return words
