"""One campaign from the command line: progress while it is on, an end by Ctrl-C, a summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from taskgen.cli.interruption import Interruption
from taskgen.cli.progress import display, progress_of
from taskgen.cli.summary import Summary, summary_of
from taskgen.cli.terminal import progress_console
from taskgen.distributor import Distributor
from taskgen.execution.campaign import Campaign
from taskgen.taskset import TaskSet

_LOOK_EVERY_S: Final = 0.125


def run_campaign(
    distributor: Distributor,
    tasksets: Sequence[TaskSet],
    *session_params: Any,
    stored: dict[str, str],
    interruption: Interruption,
) -> Summary:
    """Run all variants to their end, or to the user's; everything is stored when this returns.

    Raises:
        TaskSetError: one cannot be run as it is; no board was touched.
    """
    began = time.monotonic()
    variants = _count(tasksets)
    campaign = distributor.start(tasksets, *session_params, wait=False)
    _watch(distributor, campaign, variants, interruption)
    return summary_of(
        distributor,
        campaign,
        variants=variants,
        stored=stored,
        seconds=time.monotonic() - began,
        is_interrupted=interruption.is_asked,
    )


def _count(tasksets: Sequence[TaskSet]) -> int | None:
    total = 0
    for taskset in tasksets:
        variants = taskset.count_variants()
        if variants is None:
            return None
        total += variants
    return total


def _watch(
    distributor: Distributor, campaign: Campaign, total: int | None, interruption: Interruption
) -> None:
    is_stopping = False
    with display(progress_console()) as shown:
        while not distributor.wait_finished(_LOOK_EVERY_S):
            if interruption.is_asked and not is_stopping:
                is_stopping = True
                distributor.stop(wait=False)
            shown.show(progress_of(distributor, campaign, total, is_stopping=is_stopping))
