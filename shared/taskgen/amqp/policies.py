"""Policies: the limits of the queues. Unlike arguments they can change while the queues are used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from taskgen.amqp.topology import HANDLERS_DLX, TASKSETS, Queue, all_queues, dlx

MAX_TASKSETS: Final = 10_000
"""So many may wait for a board; who submits more is held back."""
_DELIVERY_LIMIT: Final = 20
"""So many crashes of its consumer may one message cause before it is parked."""
_NO_PRACTICAL_LIMIT: Final = 1_000_000
"""Never -1: RabbitMQ 3.10 takes that and drops the messages at the first crash of a consumer."""

Policy = dict[str, Any]
"""As the management API and definition files have it: name, pattern, apply-to, priority, definition."""


def policies(queues: Iterable[Queue] | None = None, most_tasksets: int = MAX_TASKSETS) -> list[Policy]:
    """The policies of queues, one for all those of handlers, and one for all others of taskgen's.

    Args:
        queues: None: those of a whole lab.
        most_tasksets: limit of the queue of task-sets.
    """
    chosen = all_queues() if queues is None else queues
    own = [for_queue(queue, most_tasksets) for queue in chosen if not queue.is_of_handler]
    return [for_all_others(), _for_handlers(), *own]


def for_queue(queue: Queue, most_tasksets: int = MAX_TASKSETS) -> Policy:
    """Park what kills its consumer again and again, without a moment in which the broker could lose it."""
    if queue.is_of_handler:
        return _for_handlers()
    definition = _parking(dlx(queue.name)) | {"dead-letter-routing-key": queue.parked}
    if queue.name == TASKSETS:
        definition["max-length"] = most_tasksets
    return _policy(queue.name, f"^{_escaped(queue.name)}$", 1, definition)


def _for_handlers() -> Policy:
    """The same for every handler's queue, whoever declares one: so nobody else needs to set policies."""
    return _policy("taskgen.handler", r"^taskgen\.handler\.(?!.*\.parked$)", 1, _parking(HANDLERS_DLX))


def for_all_others() -> Policy:
    """Keep parked messages from being dropped by those who look at them.

    Looking gives a message back, and RabbitMQ 4 drops one that was given back 20 times.
    """
    return _policy("taskgen", "^taskgen\\.", 0, {"delivery-limit": _NO_PRACTICAL_LIMIT})


def _parking(exchange: str) -> dict[str, Any]:
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
