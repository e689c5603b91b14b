"""What becomes of a task-set: its states, and what is counted and sent when they change."""

from __future__ import annotations

import logging
from typing import Final

from pydantic import ValidationError

from taskgen.amqp.topology import TASKSETS, inbox
from taskgen.messages.codec import TaskSetMessage
from taskgen.retry_policy import RetryPolicy
from taskgen.run import Outcome
from taskgen.state.rows import ALL, Changes, OutgoingMessage, RunRow, TaskSetRow, TaskSetState

log = logging.getLogger(__name__)

RUNNING: Final = "running"
"""Under what runs without an outcome count."""


def begin(changes: Changes, known: TaskSetRow | None, message: TaskSetMessage) -> TaskSetRow:
    """A run of a task-set has begun; one that has a result keeps it.

    Args:
        changes: gets what is to be written.
        known: the task-set, if it is known already.
        message: the attempt.
    """
    if known is None:
        return _new(changes, message, TaskSetState.RUNNING)
    if known.state != TaskSetState.DONE:
        # One that was delivered twice may come after the attempt that followed it.
        latest = _message(known)
        if latest is None or message.attempt >= latest.attempt:
            known.message = message.body().decode()
        move(changes, known, TaskSetState.RUNNING)
    return known


def refuse(
    changes: Changes, known: TaskSetRow | None, message: TaskSetMessage, reason: str, state: TaskSetState
) -> TaskSetRow:
    """A task-set will not be run: it is bad, or called off."""
    reasons = [*message.reasons, reason]
    if known is None:
        return _new(changes, message.model_copy(update={"reasons": reasons}), state)
    # What is refused may be no task-set; runs of an earlier attempt were of what is known.
    latest = _message(known) or message
    known.message = latest.model_copy(update={"reasons": reasons}).body().decode()
    move(changes, known, state)
    return known


def move(changes: Changes, row: TaskSetRow, state: TaskSetState, outcome: Outcome | None = None) -> None:
    """Bring a task-set into a state; the outcome is that of its result."""
    _count(changes, row, -1)
    row.state, row.outcome = state.value, outcome and outcome.value
    _count(changes, row, +1)
    changes.tasksets[row.taskset_id] = row


def try_again(changes: Changes, row: TaskSetRow, run: RunRow) -> None:
    """Put a task-set back after a run without a result, unless all its attempts are used up."""
    message = _message(row)
    if message is None:
        move(changes, row, TaskSetState.FAILED)
        log.error("task-set %s has failed: its message in the state cannot be used", row.taskset_id)
        return
    attempt = message.history.next(run.board, run.reason or run.outcome or "")
    if not RetryPolicy(message.max_attempts).allows(attempt):
        row.message = message.model_copy(update={"reasons": list(attempt.reasons)}).body().decode()
        move(changes, row, TaskSetState.FAILED)
        log.error("task-set %s has failed: %s", row.taskset_id, "; ".join(attempt.reasons))
        return
    again = message.retried(attempt)
    row.message = again.body().decode()
    move(changes, row, TaskSetState.WAITING)
    changes.sendings.append(OutgoingMessage(inbox(TASKSETS), TASKSETS, again.message_id, row.message))
    log.warning("task-set %s is put back: %s", row.taskset_id, again.reasons[-1])


def count_run(changes: Changes, former: str | None, latter: str | None) -> None:
    """Count a run anew; None: it was not counted before, or is not any more."""
    if former is not None:
        changes.tallies[ALL, former] -= 1
    if latter is not None:
        changes.tallies[ALL, latter] += 1


def _new(changes: Changes, message: TaskSetMessage, state: TaskSetState) -> TaskSetRow:
    body = message.body().decode()
    row = TaskSetRow(message.taskset_id, message.campaign_id, state.value, None, body)
    _count(changes, row, +1)
    changes.tasksets[row.taskset_id] = row
    return row


def _message(row: TaskSetRow) -> TaskSetMessage | None:
    """Of the last attempt; None where what is kept is no message."""
    try:
        return TaskSetMessage.model_validate_json(row.message)
    except ValidationError:
        return None


def _count(changes: Changes, row: TaskSetRow, number: int) -> None:
    changes.tallies[row.campaign_id, row.tally] += number
    if row.state == TaskSetState.FAILED:
        changes.tallies[ALL, TaskSetState.FAILED.value] += number
