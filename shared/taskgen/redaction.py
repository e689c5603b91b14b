"""Addresses as they may be shown: without what is, or in a mistyped one may be, a password."""

from __future__ import annotations

import re
from typing import Final

NOT_SHOWN: Final = "(not shown, as it may hold a password)"

_ENCODED: Final = r"%(?!40|3[ad])[0-9a-f]{2}"
"""Not @, : and =: a password that was encoded together with what separates it is not told from a name."""
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
    """An address as it may be shown; one in which a password cannot be told from the rest, not at all.

    Args:
        address: a URL, of which scheme, user, place and path are left; a path or any other text that cannot
            be a mistyped URL or DSN, which is left as it is.
    """
    found = _URL.fullmatch(address)
    if found is None:
        return NOT_SHOWN if _may_hold_password(address) else address
    if found["secret"] is None:
        return f"{found['scheme']}{found['place']}"
    # Without a password beside it, what stands for the user may be the password.
    user = "" if found["user"] is None else f"{found['user']}:"
    return f"{found['scheme']}{user}***@{found['place']}"


def _may_hold_password(text: str) -> bool:
    """Whether it looks as if it were to be a URL, `user:password@` or `password=`."""
    behind = text.partition(":")[2].lower()
    is_url = "//" in text or ":/" in text or "@" in behind or "%40" in behind
    is_conninfo = "=" in text and (len(text.split()) > 1 or _ASSIGNED.search(text) is not None)
    return is_url or is_conninfo
