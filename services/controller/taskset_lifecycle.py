"""The lifecycle of a task-set: its states, and the counts and messages when they change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from taskgen.amqp.topology import TASKSETS, inbox
from taskgen.messages.codec import TaskSetMessage
from taskgen.retry_policy import RetryPolicy
from taskgen.run import Outcome
from taskgen.state.state import ALL, Changes, OutgoingMessage, RunRow, TaskSetRow, TaskSetState

log = logging.getLogger(__name__)

_RUNNING: Final = "running"
"""The name under which runs without an outcome are counted."""


def run_started(changes: Changes, known: TaskSetRow | None, message: TaskSetMessage) -> TaskSetRow:
    """A run of a task-set has started; a task-set that has a result keeps it.

    Args:
        changes: collects what to write.
        known: the task-set, if it is known already.
        message: the attempt that started.
    """
    changes.counts[ALL, _RUNNING] += 1
    if known is None:
        return _new(changes, message, TaskSetState.RUNNING)
    if known.state != TaskSetState.DONE:
        # An attempt that is delivered twice may arrive after the next one.
        latest = _message(known)
        if latest is None or message.attempt >= latest.attempt:
            known.message = message.body().decode()
        _move(changes, known, TaskSetState.RUNNING)
    return known


def run_ended(
    changes: Changes, known: TaskSetRow, run: RunRow, has_other_runs: Callable[[str], bool]
) -> None:
    """A run has ended: a result completes its task-set, anything else allows the next attempt.

    Args:
        changes: collects what to write.
        known: the task-set.
        run: with its outcome; applied once, unless a result follows.
        has_other_runs: whether the task-set with an id has a run in progress.
    """
    outcome = Outcome(run.outcome or Outcome.DISTRIBUTOR_LOST)
    if outcome is Outcome.FINISHED or (outcome.is_result and not run.is_duplicate):
        if known.state != TaskSetState.DONE:
            _move(changes, known, TaskSetState.DONE, outcome)
    elif not run.is_resolved and known.state == TaskSetState.RUNNING and not has_other_runs(known.taskset_id):
        _retry(changes, known, run)
    run.is_resolved = True


def refused(
    changes: Changes, known: TaskSetRow | None, message: TaskSetMessage, reason: str, state: TaskSetState
) -> TaskSetRow:
    """A task-set will not be run: it has failed, or was cancelled."""
    reasons = [*message.reasons, reason]
    if known is None:
        return _new(changes, message.model_copy(update={"reasons": reasons}), state)
    # The refused message may hold no task-set at all: keep that of earlier attempts.
    latest = _message(known) or message
    known.message = latest.model_copy(update={"reasons": reasons}).body().decode()
    _move(changes, known, state)
    return known


def count_outcome(changes: Changes, former: str | None, outcome: str | None) -> None:
    """Count a run under its outcome, instead of under a former one or as running."""
    changes.counts[ALL, former or _RUNNING] -= 1
    if outcome is not None:
        changes.counts[ALL, outcome] += 1


def _retry(changes: Changes, row: TaskSetRow, run: RunRow) -> None:
    """Requeue a task-set after a run without a result, unless all its attempts are used up."""
    message = _message(row)
    if message is None:
        _move(changes, row, TaskSetState.FAILED)
        log.error("task-set %s has failed: its message in the state is invalid", row.taskset_id)
        return
    attempt = message.history.next(run.board, run.reason or run.outcome or "")
    if not RetryPolicy(message.max_attempts).allows(attempt):
        row.message = message.model_copy(update={"reasons": list(attempt.reasons)}).body().decode()
        _move(changes, row, TaskSetState.FAILED)
        log.error("task-set %s has failed: %s", row.taskset_id, "; ".join(attempt.reasons))
        return
    again = message.retried(attempt)
    row.message = again.body().decode()
    _move(changes, row, TaskSetState.WAITING)
    changes.outgoing.append(OutgoingMessage(inbox(TASKSETS), TASKSETS, again.message_id, row.message))
    log.warning("task-set %s is requeued: %s", row.taskset_id, again.reasons[-1])


def _new(changes: Changes, message: TaskSetMessage, state: TaskSetState) -> TaskSetRow:
    body = message.body().decode()
    row = TaskSetRow(message.taskset_id, message.campaign_id, state.value, None, body)
    _count(changes, row, +1)
    changes.tasksets[row.taskset_id] = row
    return row


def _move(changes: Changes, row: TaskSetRow, state: TaskSetState, outcome: Outcome | None = None) -> None:
    """Move a task-set to a state; `outcome` is that of its result."""
    _count(changes, row, -1)
    row.state, row.outcome = state.value, outcome and outcome.value
    _count(changes, row, +1)
    changes.tasksets[row.taskset_id] = row


def _message(row: TaskSetRow) -> TaskSetMessage | None:
    """The message of the last attempt; None where it cannot be decoded."""
    try:
        return TaskSetMessage.model_validate_json(row.message)
    except ValidationError:
        return None


def _count(changes: Changes, row: TaskSetRow, number: int) -> None:
    changes.counts[row.campaign_id, row.counted_as] += number
    if row.state == TaskSetState.FAILED:
        changes.counts[ALL, TaskSetState.FAILED.value] += number
