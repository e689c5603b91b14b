"""A user's own handler behind a queue of its own; `taskgen handle`."""

from __future__ import annotations

from taskgen.amqp.topology import handler_queue
from taskgen.consumer.consumer import consume
from taskgen.consumer.run_tracker import RunTracker
from taskgen.consumer.settings import ConsumerSettings
from taskgen.event import AbstractEventHandler
from taskgen.events.base import StoringHandler
from taskgen.runtime.health import Health
from taskgen.state.opening import open_state


class HandlerSettings(ConsumerSettings):
    """Settings of a handler service."""

    state_url: str = ""
    """Remembers running task-sets: `sqlite:PATH` or `postgresql://...`; empty: a SQLite file here."""


async def serve_handler(
    handler: AbstractEventHandler, name: str, settings: HandlerSettings, health: Health
) -> None:
    """Call a handler for all runs, in order within each run, until cancelled.

    Args:
        handler: is closed at the end if it stores.
        name: of its queue and of its state.
        settings: location of broker and state.
        health: as `consume` sets it.

    Raises:
        TaskgenError: as `consume` and `open_state` do.
    """
    state = open_state(settings.state_url or f"sqlite:{name}.state.db", name)
    try:
        await consume(settings, handler_queue(name), RunTracker(handler, state), health)
    finally:
        state.close()
        if isinstance(handler, StoringHandler):
            handler.close()
