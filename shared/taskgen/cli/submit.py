"""`taskgen submit`: task-sets for the services to run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from taskgen.cli.broker import AmqpUrl, amqp_extra, broker_url
from taskgen.cli.interruption import Interruption
from taskgen.loading.taskset_files import read_admission_control, read_taskset
from taskgen.retry_policy import RetryPolicy


def submit(
    tasksets: Annotated[
        list[str], typer.Argument(metavar="TASKSET...", help="A .xml or .json file, or MODULE:NAME.")
    ],
    *,
    repeat: Annotated[int, typer.Option(help="Submit each variant so often.", min=1)] = 1,
    max_attempts: Annotated[
        int, typer.Option(help="So many runs of a variant may end without a result.", min=1)
    ] = RetryPolicy().max_attempts,
    admission_control: Annotated[
        Path | None, typer.Option(help="JSON or XML of the admission control's data.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until all is done.")] = False,
    amqp_url: AmqpUrl = None,
) -> None:
    """Submit all variants of task-sets; whichever distributor has a free board runs them.

    Exit code: 0 submitted (with --wait: every variant has a result), 1 some could not be submitted (with
    --wait: some are bad, timed out or were stopped), 2 wrong use, 130 interrupted.
    """
    with amqp_extra():
        from taskgen.cli.submission import submit_all, wait_for_all  # noqa: PLC0415 - needs an extra
        from taskgen.client.submit import Submission  # noqa: PLC0415 - as above
    read = [read_taskset(spec) for spec in tasksets]
    submission = Submission(
        read,
        repeat=repeat,
        max_attempts=max_attempts,
        session_params=[read_admission_control(admission_control)] if admission_control else [],
    )
    counts = [taskset.count_variants() for taskset in read]
    total = None if None in counts else repeat * sum(count or 0 for count in counts)
    url = broker_url(amqp_url)
    with Interruption() as interruption:
        code = asyncio.run(submit_all(url, submission, total, interruption))
        if wait and not interruption.is_asked:
            code = max(code, asyncio.run(wait_for_all(url, submission, interruption)))
    raise typer.Exit(code)
