"""A broker's URL, as pika wants it."""

from __future__ import annotations

from typing import Final

import pika

from taskgen.errors import SettingsError
from taskgen.redaction import without_password

_HEARTBEAT_S: Final = 20
_BLOCKED_S: Final = 600
"""A broker that is short of memory or disk blocks its publishers; they wait so long before they break off."""


_ODD: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError, SyntaxError)
"""What pika raises for options that it cannot read: each is evaluated as Python."""


def parameters(url: str, name: str) -> pika.URLParameters:
    """What pika needs for a connection of this name.

    Raises:
        SettingsError: the URL cannot be understood, or a file that it names cannot be read.
    """
    try:
        found = pika.URLParameters(url)
    except OSError as error:  # ssl.SSLError is one
        reason = f"[Errno {error.errno}] {error.strerror}"  # without what the options say
        raise SettingsError(f"{without_password(url)}: its ssl_options: {reason}") from error
    except _ODD as error:
        raise SettingsError(
            f"{without_password(url)}: {_fault(error)}; write amqp://user:password@host:5672/vhost"
        ) from error
    found.heartbeat = _HEARTBEAT_S
    found.blocked_connection_timeout = _BLOCKED_S
    found.client_properties = {"connection_name": name}
    return found


def check_broker_url(url: str) -> None:
    """Be sure that a connection can be asked for.

    Raises:
        SettingsError: it cannot.
    """
    parameters(url, "")


def _fault(error: Exception) -> str:
    """What is wrong with the options; most errors quote them, which may hold a password by mistake."""
    return error.msg if isinstance(error, SyntaxError) else "its options (?...) cannot be understood"
