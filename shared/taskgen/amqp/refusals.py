"""What the end of a connection means: a refusal, for which nobody should try again, or anything else."""

from __future__ import annotations

import re
from typing import Final

from pika.exceptions import (
    AuthenticationError,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from taskgen.errors import BrokerError, BrokerUnavailableError, CredentialsError
from taskgen.redaction import without_password

_REFUSED: Final = frozenset({403, 530})
"""Reply codes of a broker that does not want this user, or not in this virtual host."""
_FULL: Final = re.compile(r"connection limit|has reached the")
"""In the text of a 530 that others are the reason for: too many connections, or too many channels."""
_REPLY: Final = re.compile(r"ConnectionClosedByBroker: \((\d+)\) (.*)", re.DOTALL)
"""What the broker said, in the text of pika's `Probable...Error`."""

_PROBABLE_ERRORS = (ProbableAccessDeniedError, ProbableAuthenticationError)
"""The connection ended during the handshake: said so by the broker, or cut by whoever died meanwhile."""


def translated(error: BaseException, url: str) -> BrokerError:
    """An error of pika's, with which a connection to `url` ended or did not begin, as one of ours."""
    code, text = _reply(error)
    is_refused = code in _REFUSED and not _FULL.search(text)
    where = without_password(url)
    if is_refused or isinstance(error, AuthenticationError):
        return CredentialsError(
            f"the broker refused {where}: check user, password and virtual host ({error})"
        )
    cause = str(error) if isinstance(error, _PROBABLE_ERRORS) else repr(_cause(error))
    return BrokerUnavailableError(f"no connection to the broker {where}: {cause}")


def _reply(error: BaseException) -> tuple[int, str]:
    """The code and the text with which the broker ended it; 0 and nothing if it just was gone."""
    if isinstance(error, ConnectionClosedByBroker):
        return error.reply_code, error.reply_text
    found = _REPLY.match(str(error)) if isinstance(error, _PROBABLE_ERRORS) else None
    return (int(found[1]), found[2]) if found else (0, "")


def _cause(error: BaseException) -> BaseException:
    """What went wrong at last, out of the layers that pika wraps around it."""
    while inner := [
        one for one in getattr(error, "exceptions", error.args) if isinstance(one, BaseException)
    ]:
        error = inner[-1]
    return error
