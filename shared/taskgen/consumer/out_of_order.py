"""One run's messages that came before their turn: the state has their bodies, in memory are their places."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from taskgen.errors import MessageError, UnreadableError
from taskgen.messages.codec import EndedMessage, EventsMessage, read_message

OutOfOrder = EventsMessage | EndedMessage

_AT_ONCE: Final = -1
"""The place of what can be worked on once the run is known: how it ended matters before its last events."""


class OutOfOrderMessages:
    """The places and ids of one run's early messages.

    Args:
        run_id: of the run.
        ids: of those that the state has.
    """

    def __init__(self, run_id: str, ids: Iterable[str] = ()) -> None:
        self._run_id = run_id
        self._places = sorted((self._place(one), one) for one in ids)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, message: OutOfOrder) -> bool:
        """Take a message in; returns False if it is there already."""
        place = self._place(message.message_id), message.message_id
        at = bisect_left(self._places, place)
        if self._places[at : at + 1] == [place]:
            return False
        insort(self._places, place)
        return True

    def due(self, next_seq: int) -> str | None:
        """The id of a message whose turn has come, now that a run has been worked on up to an event."""
        return self._places[0][1] if self._places and self._places[0][0] <= next_seq else None

    def remove_due(self) -> None:
        """Forget the one that was due."""
        del self._places[0]

    def clear(self) -> None:
        """Forget all."""
        self._places.clear()

    def read(self, message_id: str, body: str | None) -> OutOfOrder:
        """Understand what was kept.

        Raises:
            UnreadableError: it is not what its id says.
        """
        try:
            message = read_message(body.encode() if isinstance(body, str) else b"")
        except MessageError as error:
            raise UnreadableError(f"message {message_id} is none: {error}") from error
        if not isinstance(message, EventsMessage | EndedMessage) or (
            (message.message_id, message.run.run_id) != (message_id, self._run_id)
        ):
            raise UnreadableError(f"message {message_id} is another one")
        return message

    def _place(self, message_id: str) -> int:
        """The first event of a message; one that cannot be told shows itself when it is read."""
        first_seq = message_id.removeprefix(f"{self._run_id}:").partition("-")[0]
        return int(first_seq) if re.fullmatch(r"[0-9]{1,16}", first_seq) else _AT_ONCE
