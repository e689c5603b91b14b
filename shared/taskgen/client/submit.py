"""Submits task-sets: variants are drawn lazily, confirmed, and held back while the queue is full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from taskgen.amqp.channel import Channel
from taskgen.amqp.connection import Connection
from taskgen.amqp.reconnect import until_lost
from taskgen.amqp.topology import TASKSETS, controller_queue, declare, inbox, tasksets_queue
from taskgen.backoff import Backoff
from taskgen.errors import BrokerError, BrokerUnavailableError, TaskSetError, UnroutableError
from taskgen.messages.codec import TaskSetMessage
from taskgen.provenance import campaign_facts
from taskgen.retry_policy import RetryPolicy
from taskgen.taskset import TaskSet

_WINDOW: Final = 200
"""How many are drawn and published before waiting for their confirms."""
_DRAW_S: Final = 0.25
"""Publish a smaller window if drawing it takes longer."""
_MAX_PAUSE_S: Final = 3.0


class Submission:
    """All variants of some task-sets, as one campaign.

    Args:
        tasksets: validated; drawn from one after the other.
        repeat: how often each variant is submitted.
        max_attempts: for each.
        session_params: for `AbstractSession.start`, the same for all variants.
        name: of the campaign.
        note: stored with it.
    """

    def __init__(
        self,
        tasksets: Sequence[TaskSet],
        *,
        repeat: int = 1,
        max_attempts: int = RetryPolicy().max_attempts,
        session_params: Sequence[dict[str, Any]] = (),
        name: str = "",
        note: str = "",
    ) -> None:
        self._facts = campaign_facts(name, note)
        self.campaign_id = self._facts.campaign_id
        self.submitted = 0
        """How many the broker has confirmed."""
        self.is_done = False
        self.is_held_back = False
        """Whether the queue is full."""
        self.is_stopped = False
        """Set this to draw no more variants."""
        self.error: TaskSetError | None = None
        """Why the rest was not submitted: a value is wrong, or drawing it failed."""
        self._tasksets = tasksets
        self._repeat = repeat
        self._max_attempts = max_attempts
        self._session_params = list(session_params)
        self._messages = self._draw()
        self._unconfirmed: list[TaskSetMessage] = []
        self._drawing: asyncio.Task[list[TaskSetMessage]] | None = None
        """Outlives a connection, as what it has drawn cannot be drawn again."""

    async def serve(self, connection: Connection) -> None:
        """Submit the rest; after a lost connection, call it again with a new one.

        Raises:
            BrokerError: the connection broke, the queue was deleted, or may not be declared.
        """
        # The controller's too, or the first `started` message would be unroutable.
        await declare(connection, [tasksets_queue(), controller_queue()])
        channel = await connection.channel(confirms=True)
        backoff = Backoff(_MAX_PAUSE_S)
        while not self.is_done:
            if not self._unconfirmed:
                self._unconfirmed = await self._take_window()
                self.is_done = not self._unconfirmed
            self.is_held_back = await self._is_refused(channel)
            if self.is_held_back:
                await until_lost(backoff.pause(), channel.lost)
            else:
                backoff.reset()

    async def _take_window(self) -> list[TaskSetMessage]:
        """Return the next window; the one after it is drawn while this one is published."""
        self._drawing = self._drawing or self._draw_ahead()
        window = await asyncio.shield(self._drawing)
        self._drawing = self._draw_ahead() if window else None
        return [] if self.is_stopped else window

    def _draw_ahead(self) -> asyncio.Task[list[TaskSetMessage]]:
        return asyncio.create_task(asyncio.to_thread(self._next_window))

    async def _is_refused(self, channel: Channel) -> bool:
        """Publish the window; returns whether the queue was full."""
        window = self._unconfirmed
        where = inbox(TASKSETS), TASKSETS
        confirms = [channel.publish(*where, one.body(), one.message_id) for one in window]
        results = [await _result(confirm) for confirm in confirms]  # cheaper than `gather`: most are done
        self._unconfirmed = [one for one, result in zip(window, results, strict=True) if result is not None]
        self.submitted += len(window) - len(self._unconfirmed)
        if channel.lost.done():
            await channel.lost
        if any(isinstance(result, UnroutableError) for result in results):
            raise BrokerUnavailableError(f"the queue {TASKSETS} was deleted")  # it is declared again
        return bool(self._unconfirmed)

    def _next_window(self) -> list[TaskSetMessage]:
        window: list[TaskSetMessage] = []
        deadline = time.monotonic() + _DRAW_S
        try:
            for message in islice(self._messages, _WINDOW):
                window.append(message)
                if self.is_stopped or time.monotonic() > deadline:
                    break
        except TaskSetError as error:
            self.error = error
        return [] if self.is_stopped else window

    def _draw(self) -> Iterator[TaskSetMessage]:
        for taskset in self._tasksets:
            is_validated = taskset.count_variants() is not None  # the values of a generator are not, so far
            for number, variant in enumerate(taskset.variants(), taskset.first_variant):
                tasks = [dict(task) for task in (variant if is_validated else variant.checked())]
                for _ in range(self._repeat):
                    yield TaskSetMessage(
                        campaign_id=self.campaign_id,
                        campaign=self._facts,
                        source=taskset.source,
                        variant=number,
                        parameters=variant.parameters,
                        max_attempts=self._max_attempts,
                        tasks=tasks,
                        session_params=self._session_params,
                    )


async def _result(confirm: asyncio.Future[None]) -> BrokerError | None:
    try:
        await confirm
    except BrokerError as error:
        return error
    return None
