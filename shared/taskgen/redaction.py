"""Shows addresses without passwords, and without anything that may be one in a mistyped address."""

from __future__ import annotations

import re
from typing import Final

NOT_SHOWN: Final = "(not shown, as it may hold a password)"

_ENCODED: Final = r"%(?!40|3[ad])[0-9a-f]{2}"
"""Without @, : and =: a password encoded together with its separator looks like part of a name."""
_PLACE: Final = rf"(?:\[[0-9a-f:.]+\]|(?:[\w.-]|{_ENCODED})*)(?::[0-9]*)?"
_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)"
    r"(?:(?:(?P<user>[\w.-]*):)?(?P<secret>[^@/?#\s]*)@)?"
    rf"(?P<place>{_PLACE}(?:,{_PLACE})*(?:/(?:[\w./-]|{_ENCODED})*)?)"
    r"(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_ASSIGNED: Final = re.compile(r"p(?:a|g|s|w)\w*\s*=", re.IGNORECASE)
"""`password=` and the ways to mistype it."""


def without_password(address: str) -> str:
    """Return an address without its password, or nothing of it if the password cannot be located.

    Args:
        address: a URL, of which scheme, user, place and path remain. A path, or any other text that cannot
            be a mistyped URL or DSN, is returned unchanged.
    """
    found = _URL.fullmatch(address)
    if found is None:
        return NOT_SHOWN if _may_hold_password(address) else address
    if found["secret"] is None:
        return f"{found['scheme']}{found['place']}"
    # Without a password after it, what looks like the user may be the password.
    user = "" if found["user"] is None else f"{found['user']}:"
    return f"{found['scheme']}{user}***@{found['place']}"


def _may_hold_password(text: str) -> bool:
    """Whether it looks like an attempt at a URL, `user:password@` or `password=`."""
    behind = text.partition(":")[2].lower()
    is_url = "//" in text or ":/" in text or "@" in behind or "%40" in behind
    is_conninfo = "=" in text and (len(text.split()) > 1 or _ASSIGNED.search(text) is not None)
    return is_url or is_conninfo
