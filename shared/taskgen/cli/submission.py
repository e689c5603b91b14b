"""A submission seen from the command line: its progress, its end, and what it has come to."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import islice
from typing import Final

from rich.text import Text

from taskgen.amqp.client import as_client
from taskgen.cli.interruption import EXIT_CODE, Interruption
from taskgen.cli.progress import Progress, display
from taskgen.cli.terminal import progress_console, result_console, styled
from taskgen.client.status_listener import StatusListener
from taskgen.client.submit import Submission
from taskgen.execution.board import BoardState
from taskgen.messages.codec import CampaignReport, EndedMessage, Message, RefusedMessage
from taskgen.run import Outcome

_LOOK_EVERY_S: Final = 0.125
_SAY_EVERY_S: Final = 5.0
_MAX_LOST_SHOWN: Final = 5
_GOOD: Final = (Outcome.FINISHED, Outcome.STOPPED_BY_RULE)


async def submit_all(url: str, submission: Submission, total: int | None, interruption: Interruption) -> int:
    """Submit, unless it is interrupted; returns the exit code.

    Raises:
        BrokerError: there is no broker, or no queue.
    """
    console = progress_console()
    submitting = asyncio.create_task(as_client(url, "taskgen submit", submission.serve))
    due = _SAY_EVERY_S
    while not submitting.done():
        await asyncio.wait({submitting}, timeout=_LOOK_EVERY_S)
        submission.is_stopped = interruption.is_asked
        due -= _LOOK_EVERY_S
        if due <= 0:
            due = _SAY_EVERY_S
            of_all = "" if total is None else f" of {total:,}"
            full = "; the queue is full, so the rest waits" if submission.is_held_back else ""
            console.print(f"{submission.submitted:,}{of_all} submitted{full}")
        if interruption.is_asked and submission.is_held_back:
            submitting.cancel()
            await asyncio.wait({submitting})
    if not submitting.cancelled():
        submitting.result()
    result_console().print(f"campaign {submission.campaign_id}: {submission.submitted:,} submitted")
    if submission.error is not None:
        console.print(styled("the rest was not submitted:", "red"), str(submission.error))
    if interruption.is_asked:
        console.print("interrupted: what was submitted will be run; `taskgen stop --all` calls it off")
        return EXIT_CODE
    return 1 if submission.error is not None else 0


async def wait_for_all(url: str, submission: Submission, interruption: Interruption) -> int:
    """Show progress until every task-set of the campaign is done; returns the exit code."""
    console = progress_console()

    def tell(message: Message) -> None:
        if (text := _fault(message, submission.campaign_id)) is not None:
            console.print(*text, soft_wrap=True)

    watching = StatusListener(("stopped.#", "refused.#"), tell)
    listening = asyncio.create_task(as_client(url, "taskgen submit --wait", watching.serve))
    report: CampaignReport | None = None
    is_warned = False
    try:
        with display(console) as shown:
            while not interruption.is_asked and (report is None or report.done < submission.submitted):
                shown.show(_progress(watching, report, submission.submitted))
                await asyncio.wait({listening}, timeout=_LOOK_EVERY_S)
                if listening.done():
                    listening.result()
                report = watching.campaign(submission.campaign_id) or report
                if not is_warned and watching.is_without_controller:
                    is_warned = True
                    console.print(styled("no controller has said anything yet;", "yellow"), "is one running?")
    finally:
        listening.cancel()
        await asyncio.wait({listening})
    return _summary(report, submission, is_interrupted=interruption.is_asked)


def _fault(message: Message, campaign_id: str) -> tuple[Text, str] | None:
    """A line for what went wrong in a campaign: what, and more about it."""
    if isinstance(message, RefusedMessage) and message.taskset.campaign_id == campaign_id:
        word = "called off" if message.is_called_off else "bad"
        taskset = message.taskset
        return styled(word, "red"), f"{taskset.source}, variant {taskset.variant}: {message.reason}"
    if isinstance(message, EndedMessage) and message.run.campaign_id == campaign_id:
        if message.outcome in _GOOD:
            return None
        run = message.run
        what = f"variant {run.variant}, attempt {run.attempt} on {run.board}: {message.outcome}"
        return styled(what, "yellow"), message.reason
    return None


def _progress(watching: StatusListener, report: CampaignReport | None, total: int) -> Progress:
    boards = [board for _, board in watching.boards.values()]
    lost = (f"{board.name}: {board.reason}" for board in boards if board.state is BoardState.LOST)
    return Progress(
        done=report.done if report else 0,
        total=total,
        states=Counter(board.state for board in boards),
        lost=tuple(islice(lost, _MAX_LOST_SHOWN)),
        events=None,
        bad=report.bad if report else 0,
    )


def _summary(report: CampaignReport | None, submission: Submission, *, is_interrupted: bool) -> int:
    """Say what has become of the campaign; returns the exit code."""
    report = report or CampaignReport(campaign_id=submission.campaign_id)
    counts = {outcome.value: number for outcome, number in report.outcomes.items()}
    counts |= {"bad": report.bad, "called off": report.called_off}
    told = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number) or "none"
    console = result_console()
    console.print(f"campaign {report.campaign_id}: {report.done:,} of {submission.submitted:,} done: {told}")
    if is_interrupted:
        console.print("interrupted: the campaign goes on; `taskgen status` shows how far it is")
        return EXIT_CODE
    is_good = sum(report.outcomes.get(outcome, 0) for outcome in _GOOD) == submission.submitted
    return 0 if is_good else 1
