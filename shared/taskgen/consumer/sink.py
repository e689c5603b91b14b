"""A store behind a queue: gives each message to a storing handler, as in one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from taskgen.amqp.channel import Channel, Delivery
from taskgen.amqp.topology import sink_queue
from taskgen.consumer.consumer import consume
from taskgen.consumer.settings import ConsumerSettings
from taskgen.errors import MessageError, StoreUnavailableError, TaskSetError
from taskgen.events.base import StoringHandler
from taskgen.messages.codec import (
    EndedMessage,
    EventsMessage,
    Message,
    QuarantinedMessage,
    ResultsMessage,
    StartedMessage,
)
from taskgen.run import Outcome, Run
from taskgen.runtime.health import Health
from taskgen.runtime.runner import run_service
from taskgen.runtime.settings import naming
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

S = TypeVar("S", bound=ConsumerSettings)


def run_sink(
    name: str,
    settings_class: type[S],
    open_store: Callable[[S], StoringHandler],
    setting: str | None = None,
) -> None:
    """Run a sink service until SIGTERM or SIGINT, and end the process; see `run_service`.

    Args:
        name: such as `sqlite_sink`: all replicas of it share the queue `taskgen.sink.sqlite`.
        settings_class: read from the environment.
        open_store: opens the store; called until it does not raise `StoreUnavailableError`.
        setting: is to blame where the store will never open; None: whatever the error says.
    """

    async def serve(settings: S, health: Health) -> None:
        def opened() -> StoringHandler:
            with naming(setting) if setting else nullcontext():
                return open_store(settings)

        processor = SinkProcessor(opened)
        try:
            await consume(settings, sink_queue(name.removesuffix("_sink")), processor, health)
        finally:
            processor.close()

    run_service(name, settings_class, serve)


class SinkProcessor:
    """Gives messages to a storing handler; keeps no jobs, so that messages may arrive in any order."""

    def __init__(self, make: Callable[[], StoringHandler]) -> None:
        self._make = make
        self._handler: StoringHandler | None = None
        self._is_owed = False

    def check(self) -> None:
        """Check that the store accepts writes; first commit what it did not accept before."""
        if self._is_owed:
            self.commit()
        self._store().check()

    def begin(self) -> None:
        """Begin a batch; first open the store, and commit what it did not accept before."""
        if self._is_owed:
            self.commit()
        self._store().begin()

    def take(self, message: Message, _: Delivery) -> None:
        """Give one message to the store."""
        match message:
            case StartedMessage():
                self._take_start(message)
            case EventsMessage():
                self._store().take_events(message.run.run(), message.events)
            case EndedMessage():
                self._take_end(message)
            case QuarantinedMessage():
                self._take_quarantined(message)
            case ResultsMessage():
                run = message.run.run()
                run.record(**message.results)
                self._store().take_results(_shell(run))
            case _:
                raise MessageError(f"{message.kind} is not a message for a sink")

    def commit(self) -> None:
        """Store the batch."""
        self._is_owed = False
        try:
            self._store().commit()
        except StoreUnavailableError:
            self._is_owed = True
            raise

    def abandon(self) -> None:
        """Drop the batch, unless the store could not accept it.

        The broker redelivers what is not acknowledged in time. In a long outage a message would reach its
        delivery limit and be dead-lettered; if it is stored first, it is redelivered only once.
        """
        if not self._is_owed:
            self._store().abandon()

    async def committed(self, channel: Channel) -> None:
        """Nothing to publish."""

    def close(self) -> None:
        """Close the store."""
        if self._handler is not None:
            self._handler.abandon()  # not acknowledged, so it will be redelivered
            self._handler.close()

    def _store(self) -> StoringHandler:
        if self._handler is None:
            self._handler = self._make()
        return self._handler

    def _take_start(self, message: StartedMessage) -> None:
        try:
            taskset = message.taskset.taskset()
        except TaskSetError as error:
            raise MessageError(brief(error)) from error
        taskset.run = message.full_run()
        self._store().__taskset_start__(taskset)

    def _take_end(self, message: EndedMessage) -> None:
        taskset = _shell(message.full_run())
        if message.outcome is Outcome.FINISHED:
            self._store().__taskset_finish__(taskset)
        else:
            self._store().__taskset_stop__(taskset)

    def _take_quarantined(self, message: QuarantinedMessage) -> None:
        taskset = _shell(message.run.run()) if message.run else None
        self._store().__taskset_quarantine__(taskset, message.quarantined())


def _shell(run: Run) -> TaskSet:
    """A task-set without tasks, which only carries the run."""
    taskset = TaskSet()
    taskset.run = run
    return taskset
