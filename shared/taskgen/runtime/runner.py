"""Starts, monitors and ends every service."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

from taskgen.errors import SettingsError, TaskgenError, first_error
from taskgen.runtime.health import Health
from taskgen.runtime.health_server import served
from taskgen.runtime.logs import configure_logs
from taskgen.runtime.settings import S, load_settings
from taskgen.untrusted_text import printable

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
END_S: Final = 25.0
"""How long ending a service may take; shorter than `stop_grace_period` in compose."""


def run_service(
    name: str, settings_class: type[S], serve: Callable[[S, Health], Awaitable[None]], **given: Any
) -> None:
    """Run a service until SIGTERM or SIGINT, and end the process.

    Exit code: 0 after a signal, 1 if it cannot continue, 2 if a setting is wrong; stderr says why.

    Args:
        name: shown to users, such as `sqlite_sink`.
        settings_class: read from the environment.
        serve: runs the service until it is cancelled.
        given: settings that are not read from the environment.
    """
    errors: list[BaseException] = []
    try:
        settings = load_settings(settings_class, **given)
        configure_logs(settings.log_format, settings.log_level)
        asyncio.run(_run(name, settings, serve))
    except* TaskgenError as group:  # or a group, if serve uses tasks
        errors.append(first_error(group))
    for error in errors:
        line = " ".join(str(error).split())
        sys.stderr.write(f"{printable(f'{name}: {line}')}\n")
        sys.exit(2 if isinstance(error, SettingsError) else 1)
    sys.exit(0)


async def _run(name: str, settings: S, serve: Callable[[S, Health], Awaitable[None]]) -> None:
    health = Health()
    serving = asyncio.ensure_future(_serving(name, settings, serve, health))

    def end() -> None:
        serving.cancel()
        limit = threading.Timer(END_S, _end_hard, [name])
        limit.daemon = True
        limit.start()

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, end)
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()
    log.info("%s has ended", name)


def _end_hard(name: str) -> None:
    """End a process that waits for a hanging database; its messages are not acknowledged, so not lost."""
    log.error("%s did not end within %g s and is killed", name, END_S)
    os._exit(1)


async def _serving(
    name: str, settings: S, serve: Callable[[S, Health], Awaitable[None]], health: Health
) -> None:
    async with served(health, settings.http_host, settings.http_port) as port:
        where = f"http://{settings.http_host}:{port}"
        extra = {"instance": settings.instance, "http_port": port}
        log.info("%s %s serves %s/healthz and /metrics", name, settings.instance, where, extra=extra)
        await serve(settings, health)
