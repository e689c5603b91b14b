"""Parses the bytes of a frame into the dictionary that handlers receive, as xmltodict makes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from xml.parsers.expat import ExpatError

import xmltodict

from taskgen.boards.limits import Limits
from taskgen.errors import ProfileError
from taskgen.taskset import Profile
from taskgen.untrusted_text import brief

_TAG: Final = re.compile(rb"""<(/?)[^<>"']*(?:"[^"<]*"[^<>"']*|'[^'<]*'[^<>"']*)*>""")
_SHORTEST_ATTRIBUTE: Final = len(' a=""')
_CLOSING: Final = b"</profile>"
_REFERENCE: Final = b"&"
"""The only way to write digits of other scripts in an ASCII document."""
_MAX_TIME_STAMP: Final = 2**64
_USUAL_DIGITS: Final = 18
"""A number of this many digits fits into 64 bits."""
_DEFAULT_LIMITS: Final = Limits()
_SPACE: Final = r"[ \t\r\n]*"
_USUAL_EVENT: Final = r'<event type="([A-Za-z0-9_-]+)" task-id="([0-9]{1,18})" time-stamp="([0-9]{1,18})"/>'
_USUAL_EVENTS: Final = re.compile(_USUAL_EVENT)
_USUAL_PROFILE: Final = re.compile(
    f"{_SPACE}<profile>{_SPACE}<events>{_SPACE}"
    f"(?:{_USUAL_EVENT.replace('(', '(?:')}{_SPACE})++</events>{_SPACE}{_CLOSING.decode()}"
)
_USUAL_DEPTH: Final = 3
_USUAL_ATTRIBUTES: Final = 3


class Rejected(NamedTuple):
    """An invalid part of a profile, as XML, and the reason."""

    reason: str
    data: bytes


def read_profile(frame: bytes, limits: Limits = _DEFAULT_LIMITS) -> tuple[Profile, list[Rejected]]:
    """Parse one frame.

    Args:
        frame: the body of a frame; NULs and leftover bytes after the document are cut off.
        limits: for its size and structure.

    Returns:
        `{"profile": {"events": {"event": [{"@type": ..., "@task-id": ..., "@time-stamp": ...}, ...]}}}`,
        with whatever else the board sent; and the parts that were removed: invalid or misplaced events, and
        text.

    Raises:
        ProfileError: the frame is not a profile document, or exceeds a limit.
    """
    usual = _usual_profile(frame, limits)
    if usual is not None:
        return usual, []
    document = _document(frame)
    _check_limits(document, limits)
    try:
        parsed: dict[str, Any] = xmltodict.parse(document)
    except (ExpatError, ValueError) as error:
        raise ProfileError(brief(f"not XML: {error}")) from error
    if "profile" not in parsed:
        raise ProfileError(brief(f"not a profile: the root element is <{next(iter(parsed))}>"))
    return _with_valid_events(parsed, is_plain=_REFERENCE not in document)


def _usual_profile(frame: bytes, limits: Limits) -> Profile | None:
    """Read a frame in the usual form of all known boards; None if it has another form, or may exceed a limit.

    The result is the parser's, in a tenth of its time: most of what a distributor did was parsing.
    """
    text = frame.decode("latin-1")  # never fails, and non-ASCII text does not match
    found = _USUAL_PROFILE.match(text)
    if found is None:
        return None
    events = [
        {"@type": kind, "@task-id": task_id, "@time-stamp": time_stamp}
        for kind, task_id, time_stamp in _USUAL_EVENTS.findall(text, 0, found.end())
    ]
    is_within = (
        found.end() <= limits.frame_bytes
        and len(events) + 4 <= limits.elements  # counted by their "<"
        and limits.depth >= _USUAL_DEPTH
        and limits.attributes >= _USUAL_ATTRIBUTES
    )
    return {"profile": {"events": {"event": events}}} if is_within else None


def profile_of(events: Iterable[Mapping[str, Any]]) -> tuple[Profile, list[Rejected]]:
    """Return what `read_profile` returns, for events that a target does not send as XML.

    Args:
        events: each with `type`, `task-id` and `time-stamp` (ms of the target's clock); other keys are kept.
    """
    as_parsed = [{f"@{name}": str(value) for name, value in event.items()} for event in events]
    return _with_valid_events({"profile": {"events": {"event": as_parsed}}}, is_plain=False)


def _document(frame: bytes) -> bytes:
    """Cut at the first NUL, and after the end of the root; an empty `<profile/>` ends at a NUL only."""
    text = frame.split(b"\0", 1)[0]
    end = text.find(_CLOSING)
    return text[: end + len(_CLOSING)] if end >= 0 else text


def _check_limits(document: bytes, limits: Limits) -> None:
    """Refuse what is expensive to parse; an ordinary frame costs only a few scans in C."""
    if len(document) > limits.frame_bytes:
        raise ProfileError(f"{len(document)} bytes, over the limit of {limits.frame_bytes}")
    if not document.isascii():
        raise ProfileError("not ASCII")
    if b"!" in document and b"<!" in document:  # finding one character is twenty times as fast as finding two
        raise ProfileError("has a declaration (<!...), such as a DOCTYPE or an entity; boards send none")
    if b"?" in document and document.count(b"<?") > _has_declaration(document):
        raise ProfileError("has a processing instruction (<?...); boards send none")
    if document.count(b"<") > limits.elements:
        raise ProfileError(f"more than {limits.elements} elements")
    if document.count(b"</") > limits.depth:
        _check_depth(document, limits.depth)
    elements = document.split(b"<")
    if len(max(elements, key=len)) > limits.attributes * _SHORTEST_ATTRIBUTE and any(
        element.count(b"=") > limits.attributes for element in elements
    ):
        raise ProfileError(f"an element with more than {limits.attributes} attributes")


def _has_declaration(document: bytes) -> bool:
    """Whether it begins with `<?xml ...?>`; any other `<?...?>` could hide text that looks like tags."""
    return document.startswith(b"<?xml") and document[5:6].isspace()


def _check_depth(document: bytes, limit: int) -> None:
    depth = 0
    for tag in _TAG.finditer(document):
        if tag[1]:
            depth -= 1
        elif not tag[0].endswith(b"/>"):
            depth += 1
            if depth > limit:
                raise ProfileError(f"elements nested deeper than {limit}")


def _with_valid_events(parsed: dict[str, Any], *, is_plain: bool) -> tuple[Profile, list[Rejected]]:
    """Convert the forms that boards send into the one that handlers expect."""
    profile = parsed["profile"]
    if not isinstance(profile, dict):
        profile = parsed["profile"] = {} if profile is None else {"#text": profile}
    events = profile.get("events")
    found = _events_of(events)
    rejected = [] if _is_usual(profile, events) else list(_misplaced(profile, events))
    if not is_plain or _has_fault(found):
        found = [event for event in found if not _is_rejected(event, rejected)]
    if isinstance(events, dict):
        events["event"] = found
    else:
        profile["events"] = {"event": found}
    return parsed, rejected


def _events_of(events: Any) -> list[Any]:  # noqa: ANN401 - whatever is in <events>
    if isinstance(events, list):
        return [event for part in events for event in _events_of(part)]
    found = events.get("event", []) if isinstance(events, dict) else []
    return found if isinstance(found, list) else [found]


def _is_usual(profile: dict[str, Any], events: Any) -> bool:  # noqa: ANN401 - whatever is in <events>
    """Whether there is at most one `<events>`, all events are in it, and there is no text."""
    if isinstance(events, dict):
        return "#text" not in events and "#text" not in profile and "event" not in profile
    return events is None and "#text" not in profile and "event" not in profile


def _misplaced(profile: dict[str, Any], events: Any) -> Iterator[Rejected]:  # noqa: ANN401 - as above
    """Remove what handlers would not see."""
    if "event" in profile:
        yield _rejected("an event outside of <events>", {"profile": {"event": profile.pop("event")}})
    if "#text" in profile:
        yield _rejected("text within <profile>", {"profile": profile.pop("#text")})
    is_one = not isinstance(events, list)
    for part in [events] if is_one else events:
        if isinstance(part, str):
            yield _rejected("text within <events>", {"events": part})
        elif isinstance(part, dict):
            names = [name for name in part if (name == "#text" if is_one else name != "event")]
            if names:
                lost = {name: part.pop(name) for name in names}
                yield _rejected("something other than events within <events>", {"events": lost})


def _rejected(reason: str, node: dict[str, Any]) -> Rejected:
    return Rejected(brief(reason), xmltodict.unparse(node, full_document=False).encode())


def are_valid_events(parsed: dict[str, Any]) -> bool:
    """Whether a dictionary from elsewhere is as valid as those that `read_profile` returns."""
    try:
        events = parsed["profile"]["events"]["event"]
        if not isinstance(events, list) or not all(isinstance(event["@type"], str) for event in events):
            return False
        return not _has_fault(events) or not any(map(_fault, events))
    except (KeyError, TypeError, AttributeError):  # JSON has numbers where XML has text
        return False


def _has_fault(events: list[Any]) -> bool:
    """Whether an event needs a closer look; fast, because it runs for every event."""
    try:
        for event in events:
            task_id, time_stamp = event["@task-id"], event["@time-stamp"]
            if not (task_id.isdigit() and time_stamp.isdigit() and event["@type"]):
                return True
            if not (task_id.isascii() and time_stamp.isascii()):  # "²" is a digit, but not a number
                return True
            if len(task_id) > _USUAL_DIGITS or len(time_stamp) > _USUAL_DIGITS:
                return True
    except (KeyError, TypeError):
        return True
    return False


def _is_rejected(event: Any, rejected: list[Rejected]) -> bool:  # noqa: ANN401 - whatever is in place of an event
    fault = _fault(event)
    if fault:
        rejected.append(_rejected(fault, {"event": event}))
    return bool(fault)


def _fault(event: Any) -> str:  # noqa: ANN401 - whatever is in place of an event
    """Return what is wrong with an event; empty if it is valid."""
    if not isinstance(event, dict):
        return "an event without attributes"
    for name in ("@type", "@task-id", "@time-stamp"):
        if not event.get(name):
            return f"an event without {name[1:]}"
    task_id, time_stamp = event["@task-id"], event["@time-stamp"]
    if not re.fullmatch(r"-?[0-9]{1,18}", task_id):
        return f"task-id is not a number: {task_id!r}"
    if not re.fullmatch(r"[0-9]{1,36}", time_stamp) or int(time_stamp) >= _MAX_TIME_STAMP:
        return f"time-stamp is not an unsigned 64-bit number: {time_stamp!r}"
    return ""
