"""Policies: limits of queues. Unlike arguments, they can be changed while the queues are in use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from taskgen.amqp.topology import HANDLERS_DLX, TASKSETS, Queue, all_queues, dlx

MAX_TASKSETS: Final = 10_000
"""How many task-sets may wait for a board; further submissions are held back."""
_DELIVERY_LIMIT: Final = 20
"""How many crashes of its consumer a message may cause before it is dead-lettered."""
_NO_PRACTICAL_LIMIT: Final = 1_000_000
"""Not -1: RabbitMQ 3.10 accepts that and drops messages at the first crash of a consumer."""

Policy = dict[str, Any]
"""In the format of the management API and of definition files."""


def policies(queues: Iterable[Queue] | None = None, most_tasksets: int = MAX_TASKSETS) -> list[Policy]:
    """The policies: one for each queue, one for all queues of handlers, and one for all others of taskgen.

    Args:
        queues: those of a whole lab if None.
        most_tasksets: limit of the queue of task-sets.
    """
    chosen = all_queues() if queues is None else queues
    own = [for_queue(queue, most_tasksets) for queue in chosen if not queue.is_of_handler]
    return [for_all_others(), _for_handlers(), *own]


def for_queue(queue: Queue, most_tasksets: int = MAX_TASKSETS) -> Policy:
    """Dead-letter messages that kill their consumer repeatedly, at least once."""
    if queue.is_of_handler:
        return _for_handlers()
    definition = _dead_lettering(dlx(queue.name)) | {"dead-letter-routing-key": queue.dead_letters}
    if queue.name == TASKSETS:
        definition["max-length"] = most_tasksets
    return _policy(queue.name, f"^{_escaped(queue.name)}$", 1, definition)


def _for_handlers() -> Policy:
    """One policy for all queues of handlers, so that declaring one needs no permission to set policies."""
    return _policy("taskgen.handler", r"^taskgen\.handler\.(?!.*\.parked$)", 1, _dead_lettering(HANDLERS_DLX))


def for_all_others() -> Policy:
    """Keep dead letters from being dropped when they are inspected.

    Inspecting returns a message to its queue, and RabbitMQ 4 drops messages that were returned 20 times.
    """
    return _policy("taskgen", "^taskgen\\.", 0, {"delivery-limit": _NO_PRACTICAL_LIMIT})


def _dead_lettering(exchange: str) -> dict[str, Any]:
    return {
        "delivery-limit": _DELIVERY_LIMIT,
        "dead-letter-exchange": exchange,
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
    }


def _policy(name: str, pattern: str, priority: int, definition: dict[str, Any]) -> Policy:
    return {
        "name": name,
        "pattern": pattern,
        "apply-to": "queues",
        "priority": priority,
        "definition": definition,
    }


def _escaped(name: str) -> str:
    return name.replace(".", "\\.")
