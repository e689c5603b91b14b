"""`taskgen handle`: run a user's own event handler as a service behind a queue."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from taskgen.cli.broker import AmqpUrl, amqp_extra
from taskgen.loading.import_string import load_handler


def handle(
    handler: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="Your AbstractEventHandler.")],
    *,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Name of the handler's queue, taskgen.handler.NAME, and of its state."
        ),
    ],
    state_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where to keep the state of running task-sets: sqlite:PATH or postgresql://... Default: "
            "`$TASKGEN_STATE_URL`, else sqlite:NAME.state.db.",
        ),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="Port of /healthz and /metrics; 0 takes any free one. Default: "
            "`$TASKGEN_HTTP_PORT`, else 8080.",
            min=0,
        ),
    ] = None,
    amqp_url: AmqpUrl = None,
) -> None:
    """Call an event handler for all runs of the lab.

    Runs until Ctrl-C or SIGTERM. The handler is called as in one process, but the result of its
    `__taskset_event__` is ignored: the controller's handler decides. A second process with the same name
    stands by for the first one.

    Exits with 0 when asked to stop, with 1 if it cannot continue, and with 2 after a usage error.
    """
    with amqp_extra():
        from taskgen.consumer.handler_service import HandlerSettings, serve_handler  # noqa: PLC0415 - needs an extra
        from taskgen.runtime.runner import run_service  # noqa: PLC0415 - as above
    given = {"state_url": state_url, "http_port": http_port, "amqp_url": amqp_url}
    run_service(
        f"handle {name}",
        HandlerSettings,
        partial(serve_handler, load_handler(handler), name),
        **{setting: value for setting, value in given.items() if value is not None},
    )
