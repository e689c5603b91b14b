"""`taskgen submit`: send task-sets to the services, and wait for their results."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from taskgen.cli.broker import AmqpUrl, amqp_extra, broker_url
from taskgen.cli.interruption import EXIT_CODE, Interruption
from taskgen.cli.progress import LOOK_EVERY_S, Snapshot, display
from taskgen.cli.run import AdmissionControl, CampaignName, CampaignNote, TaskSets, count_variants
from taskgen.cli.summary import GOOD_OUTCOMES
from taskgen.cli.terminal import progress_console, result_console, styled
from taskgen.loading.taskset_files import read_admission_control, read_tasksets
from taskgen.messages.codec import CampaignReport, EndedMessage, Message, RefusedMessage
from taskgen.retry_policy import RetryPolicy
from taskgen.run import variant_text

if TYPE_CHECKING:
    from taskgen.client.submit import Submission

_REPORT_EVERY_S: Final = 5.0
_LAST_CONFIRMS_S: Final = 5.0
"""How long an interrupted submission waits for the broker, which may be down."""


def submit(
    tasksets: TaskSets,
    *,
    repeat: Annotated[int, typer.Option(metavar="N", help="Submit each variant N times.", min=1)] = 1,
    max_attempts: Annotated[
        int, typer.Option(metavar="N", help="Give up on a variant after N runs without a result.", min=1)
    ] = RetryPolicy().max_attempts,
    name: CampaignName = "",
    note: CampaignNote = "",
    admission_control: AdmissionControl = None,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Show progress until all variants are done.")
    ] = False,
    amqp_url: AmqpUrl = None,
) -> None:
    """Submit all variants of task-sets to the lab.

    Distributors run them as boards become free.

    Exits with 0 if all were submitted or, with --wait, if every variant has a result; with 1 if some could
    not be submitted or, with --wait, if some failed, timed out or were stopped; with 2 after a usage error;
    and with 130 if interrupted.
    """
    with amqp_extra():
        from taskgen.client.submit import Submission  # noqa: PLC0415 - needs an extra
    read = [taskset for spec in tasksets for taskset in read_tasksets(spec)]
    submission = Submission(
        read,
        repeat=repeat,
        max_attempts=max_attempts,
        session_params=[read_admission_control(admission_control)] if admission_control else [],
        name=name,
        note=note,
    )
    count = count_variants(read)
    url = broker_url(amqp_url)
    with Interruption() as interruption:
        code = asyncio.run(_submit_all(url, submission, count and repeat * count, interruption))
        if wait and not interruption.is_asked:
            code = max(code, asyncio.run(_wait_for_all(url, submission, interruption)))
    raise typer.Exit(code)


async def _submit_all(url: str, submission: Submission, total: int | None, interruption: Interruption) -> int:
    """Submit until done or interrupted; returns the exit code.

    Raises:
        BrokerError: there is no broker, or no queue.
    """
    from taskgen.amqp.reconnect import connected_command  # noqa: PLC0415 - needs an extra

    console = progress_console()
    submitting = asyncio.create_task(connected_command(url, "taskgen submit", submission.serve))
    due, patience_s = _REPORT_EVERY_S, _LAST_CONFIRMS_S
    while not submitting.done():
        await asyncio.wait({submitting}, timeout=LOOK_EVERY_S)
        submission.is_stopped = interruption.is_asked
        due -= LOOK_EVERY_S
        if due <= 0:
            due = _REPORT_EVERY_S
            of_all = "" if total is None else f" of {total:,}"
            full = "; the queue is full, waiting for space" if submission.is_held_back else ""
            console.print(f"{submission.submitted:,}{of_all} submitted{full}")
        if interruption.is_asked:
            patience_s -= LOOK_EVERY_S
        if interruption.is_asked and (submission.is_held_back or patience_s <= 0):
            submitting.cancel()
            await asyncio.wait({submitting})
    if not submitting.cancelled():
        submitting.result()
    result_console().print(f"campaign {submission.campaign_id}: {submission.submitted:,} submitted")
    if submission.error is not None:
        console.print(styled("the rest was not submitted:", "red"), str(submission.error))
    if interruption.is_asked:
        console.print(
            f"interrupted by {interruption.signal}: submitted task-sets will still run; "
            f"`taskgen stop {submission.campaign_id}` cancels them",
            soft_wrap=True,
        )
        return EXIT_CODE
    return 1 if submission.error is not None else 0


async def _wait_for_all(url: str, submission: Submission, interruption: Interruption) -> int:
    """Show progress until every task-set of the campaign is done; returns the exit code."""
    from taskgen.amqp.reconnect import connected_command  # noqa: PLC0415 - needs an extra
    from taskgen.client.status_listener import StatusListener  # noqa: PLC0415 - as above

    console = progress_console()

    def show_fault(message: Message) -> None:
        if (fault := _fault(message, submission.campaign_id)) is not None:
            console.print(*fault, soft_wrap=True)

    listener = StatusListener(("stopped.#", "refused.#"), show_fault)
    listening = asyncio.create_task(connected_command(url, "taskgen submit --wait", listener.serve))
    report = CampaignReport(campaign_id=submission.campaign_id)
    is_warned = False
    try:
        with display(console) as shown:
            while not interruption.is_asked and report.done < submission.submitted:
                boards = [board for _, board in listener.boards.values()]
                states = tuple((board.name, board.state, board.reason) for board in boards)
                shown.show(Snapshot(states, report.done, submission.submitted, report.bad))
                await asyncio.wait({listening}, timeout=LOOK_EVERY_S)
                if listening.done():
                    listening.result()
                report = listener.campaign(submission.campaign_id) or report
                if not is_warned and listener.is_without_controller:
                    is_warned = True
                    console.print(styled("no controller has reported yet;", "yellow"), "is one running?")
    finally:
        listening.cancel()
        await asyncio.wait({listening})
    return _summarize(report, submission, interruption)


def _fault(message: Message, campaign_id: str) -> tuple[Text, str] | None:
    """A problem of the campaign, if the message reports one: a headline and details."""
    if isinstance(message, RefusedMessage) and message.taskset.campaign_id == campaign_id:
        word = "cancelled" if message.is_called_off else "failed"
        taskset = message.taskset
        variant = variant_text(taskset.variant, taskset.parameters)
        return styled(word, "red"), f"{taskset.source}, {variant}: {message.reason}"
    if isinstance(message, EndedMessage) and message.run.campaign_id == campaign_id:
        if message.outcome in GOOD_OUTCOMES:
            return None
        run = message.run
        variant = variant_text(run.variant, message.parameters)
        what = f"{variant}, attempt {run.attempt} on {run.board}: {message.outcome}"
        return styled(what, "yellow"), message.reason
    return None


def _summarize(report: CampaignReport, submission: Submission, interruption: Interruption) -> int:
    """Print the campaign's results; returns the exit code."""
    counts = {outcome.value: number for outcome, number in report.outcomes.items()}
    counts |= {"failed": report.bad, "cancelled": report.called_off}
    results = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number) or "none"
    console = result_console()
    console.print(
        f"campaign {report.campaign_id}: {report.done:,} of {submission.submitted:,} done: {results}"
    )
    if interruption.is_asked:
        console.print(
            f"interrupted by {interruption.signal}: the campaign continues; "
            "`taskgen status` shows its progress"
        )
        return EXIT_CODE
    is_good = sum(report.outcomes.get(outcome, 0) for outcome in GOOD_OUTCOMES) == submission.submitted
    return 0 if is_good else 1
