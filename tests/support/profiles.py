"""Profiles and their events: as boards send them, and as handlers get them."""

from typing import Any

from taskgen.taskset import Profile


def event(kind: str, task_id: object, time_stamp: object, **more: Any) -> dict[str, Any]:
    """An event as handlers get it; `more` are attributes (`@name`) and elements."""
    return {"@type": kind, "@task-id": str(task_id), "@time-stamp": str(time_stamp)} | more


def profile_of(*events: dict[str, Any]) -> Profile:
    """The profile, as handlers get it, of whole events."""
    return {"profile": {"events": {"event": list(events)}}}


def parsed_profile(*events: tuple[str, object, object]) -> Profile:
    """The profile, as handlers get it, of events given as type, task and time stamp."""
    return profile_of(*(event(*one) for one in events))


def profile_document(*events: tuple[str, int, int]) -> bytes:
    """The document that a board sends for events given as type, task and time stamp."""
    lines = "".join(
        f'\t\t<event type="{kind}" task-id="{task}" time-stamp="{stamp}"/>\n' for kind, task, stamp in events
    )
    return f"<profile>\n\t<events>\n{lines}\t</events>\n</profile>\n\0".encode()
