"""A broker's URL: as pika wants it, and as it may be shown."""

from __future__ import annotations

import re
from typing import Final

import pika

from taskgen.errors import SettingsError

_HEARTBEAT_S: Final = 20
_BLOCKED_S: Final = 600
"""A broker that is short of memory or disk blocks its publishers; they wait so long before they break off."""


def parameters(url: str, name: str) -> pika.URLParameters:
    """What pika needs for a connection of this name.

    Raises:
        SettingsError: the URL cannot be understood.
    """
    try:
        found = pika.URLParameters(url)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise SettingsError(
            f"AMQP URL {without_password(url)!r}: {error}; write amqp://user:password@host:5672/vhost"
        ) from error
    found.heartbeat = _HEARTBEAT_S
    found.blocked_connection_timeout = _BLOCKED_S
    found.client_properties = {"connection_name": name}
    return found


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return re.sub(r"//([^:@/]*):[^@/]*@", r"//\1:***@", url)
