"""Every error this library raises on purpose, as one tree.

Errors of other libraries are translated into these.

    TaskgenError
    ├── TaskSetError           a task-set that no board could run as written
    ├── AddressError           a board's address that cannot be understood
    ├── SettingsError          an option or environment variable with a wrong value
    ├── HandlerError           a handler that cannot be found or built
    ├── DistributorError       the distributor was asked for what it cannot do now
    ├── ProfileError           a frame that is no profile, or over a limit
    ├── SessionError
    │   ├── BoardLostError     the board is gone, silent or late
    │   │   └── BoardSilentError   nothing came in time, but the connection stands
    │   ├── BoardLeasedError   another distributor has the board
    │   └── BoardProtocolError the board answered what the protocol does not know
    ├── StoreError
    │   ├── StoreUnavailableError   it may work later: the disk is full, the server is down
    │   ├── UnstorableError         the store works, but will never take this
    │   └── UnreadableError         the store works, but one row of it cannot be understood
    └── BrokerError
        ├── BrokerUnavailableError  it may work later: no broker there, or the connection broke
        ├── CredentialsError        the broker or database refused this user
        ├── TopologyError           a queue or exchange exists with other arguments, or not at all
        ├── LockedError             another connection holds a queue for itself alone
        ├── UnroutableError         no queue takes a message
        └── MessageError            a message that cannot be understood: dead-letter it
"""

from __future__ import annotations


class TaskgenError(Exception):
    """Base of all errors raised on purpose; its text tells the user what to do."""


class TaskSetError(TaskgenError):
    """A task-set that no board could run as written; names source, task and field."""


class AddressError(TaskgenError):
    """A board's address or range that cannot be understood."""


class SettingsError(TaskgenError):
    """An option or environment variable with a wrong value."""


class HandlerError(TaskgenError):
    """A handler that cannot be found, imported or built."""


class DistributorError(TaskgenError):
    """The distributor was asked for something that it cannot do in its present state."""


class ProfileError(TaskgenError):
    """A frame that is no profile document, or is over one of the limits."""


class SessionError(TaskgenError):
    """The conversation with a board failed."""


class BoardLostError(SessionError):
    """The board is gone: refused, closed, silent, or too late with an answer."""


class BoardSilentError(BoardLostError):
    """Nothing came from the board in time, but the connection stands."""


class BoardLeasedError(SessionError):
    """Another distributor has the board."""


class BoardProtocolError(SessionError):
    """The board sent what the protocol does not allow, so its stream cannot be followed further.

    Args:
        message: what is wrong.
        data: the stream from there on, as far as it was read; to be quarantined.
    """

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


class StoreError(TaskgenError):
    """A store cannot keep what it was given."""


class StoreUnavailableError(StoreError):
    """A store cannot keep it now, and may later: a full disk, a lock, a server that is down."""


class UnstorableError(StoreError):
    """A store refuses this data, now and later, and takes other: a value out of range, a NUL in a text."""


class UnreadableError(StoreError):
    """What a store has in one row cannot be understood: damaged, changed by hand, or of another version."""


class BrokerError(TaskgenError):
    """The message broker could not do what was asked."""


class BrokerUnavailableError(BrokerError):
    """No connection to the broker now; trying again may help."""


class CredentialsError(BrokerError):
    """The broker or the database refused this user; trying again will not help."""


class TopologyError(BrokerError):
    """A queue or an exchange exists with other arguments than ours, or does not exist."""


class LockedError(BrokerError):
    """Another connection holds this queue for itself alone."""


class UnroutableError(BrokerError):
    """No queue takes this message; the broker gave it back."""


class MessageError(BrokerError):
    """A message that cannot be understood; it belongs in the parking queue with this reason."""


def first_error(error: BaseException) -> BaseException:
    """The error itself, or the first one within a group of however many levels."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
