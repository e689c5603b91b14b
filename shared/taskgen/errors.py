"""All errors that this library raises on purpose, as one tree.

Errors of other libraries are translated into these.

    TaskgenError
    ├── TaskSetError           a task-set that no board could run as written
    ├── AddressError           a board's address that is not valid
    ├── SettingsError          an option or environment variable with a wrong value
    ├── HandlerError           a handler that cannot be found or created
    ├── DistributorError       the distributor cannot do this in its present state
    ├── BundleError            a bundle that is damaged, changed, or none
    ├── ProfileError           a frame that is not a profile, or exceeds a limit
    ├── SessionError
    │   ├── BoardLostError     the board is gone, silent or late
    │   │   └── BoardSilentError   it sent nothing in time, but is still connected
    │   ├── BoardLeasedError   another distributor has the board
    │   └── BoardProtocolError the board violated the protocol
    ├── StoreError
    │   ├── StoreUnavailableError   it may work later: the disk is full, the server is down
    │   ├── UnstorableError         the store works, but will never accept this
    │   └── UnreadableError         the store works, but a row in it is not valid
    └── BrokerError
        ├── BrokerUnavailableError  it may work later: no broker, or the connection broke
        ├── CredentialsError        the broker or database refused this user
        ├── TopologyError           a queue or exchange is missing, or has other arguments
        ├── LockedError             another connection holds a queue exclusively
        ├── UnroutableError         no queue accepts a message
        └── MessageError            a message that is not valid: dead-letter it
"""

from __future__ import annotations


class TaskgenError(Exception):
    """Base of all errors raised on purpose; its text says what to do."""


class TaskSetError(TaskgenError):
    """A task-set that no board could run as written; the text names source, task and field."""


class AddressError(TaskgenError):
    """A board's address or range that is not valid."""


class SettingsError(TaskgenError):
    """An option or environment variable with a wrong value."""


class HandlerError(TaskgenError):
    """A handler that cannot be found, imported or created."""


class DistributorError(TaskgenError):
    """The distributor cannot do this in its present state."""


class BundleError(TaskgenError):
    """A bundle that is damaged, changed, malicious, or not a bundle."""


class ProfileError(TaskgenError):
    """A frame that is not a profile document, or exceeds a limit."""


class SessionError(TaskgenError):
    """The communication with a board failed."""


class BoardLostError(SessionError):
    """The board is gone: it refused or closed the connection, is silent, or answered too late."""


class BoardSilentError(BoardLostError):
    """The board sent nothing in time, but the connection is still open."""


class BoardLeasedError(SessionError):
    """Another distributor has the board."""


class BoardProtocolError(SessionError):
    """The board violated the protocol, so the rest of its stream cannot be read.

    Args:
        message: what is wrong.
        data: the stream from there on, as far as it was read; it is quarantined.
    """

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


class StoreError(TaskgenError):
    """A store could not store data."""


class StoreUnavailableError(StoreError):
    """A store is unavailable, but may work later: the disk is full, a lock is held, the server is down."""


class UnstorableError(StoreError):
    """A store will never accept this data, but accepts other data: a value out of range, a NUL in a text."""


class UnreadableError(StoreError):
    """A row of a store is not valid: damaged, changed by hand, or written by another version."""


class BrokerError(TaskgenError):
    """The message broker could not fulfil a request."""


class BrokerUnavailableError(BrokerError):
    """There is no connection to the broker now; retrying may help."""


class CredentialsError(BrokerError):
    """The broker or the database refused this user; retrying will not help."""


class TopologyError(BrokerError):
    """A queue or exchange does not exist, or exists with different arguments."""


class LockedError(BrokerError):
    """Another connection holds this queue exclusively."""


class UnroutableError(BrokerError):
    """No queue accepts this message; the broker returned it."""


class MessageError(BrokerError):
    """A message that is not valid; it is dead-lettered with this reason."""


def first_error(error: BaseException) -> BaseException:
    """Return the error itself, or the first one in a group, however deeply nested."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
