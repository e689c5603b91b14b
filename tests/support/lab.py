"""A whole lab of real processes: distributors, controllers and sinks on one broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from taskgen.events.sql import SqliteReader
from taskgen.messages.codec import EndedMessage
from taskgen.run import Run
from tests.support.broker_client import BrokerClient
from tests.support.services import Service


class Lab:
    """The services of a lab, which tests may add to and kill."""

    def __init__(self, stack: ExitStack, amqp_url: str, folder: Path, boards: Sequence[str]) -> None:
        self._stack = stack
        self._url = amqp_url
        self._boards = ",".join(boards)
        self.folder = folder
        self.events_db = folder / "events.db"
        self.parts = folder / "parts"

    def distributor(self, **more: object) -> Service:
        """Start another distributor for the same boards."""
        outbox = self.folder / "outbox"
        return self._start(
            "distributor", **{"boards": self._boards, "outbox_path": outbox, "longest_pause_s": 2, **more}
        )

    def controller(self, **more: object) -> Service:
        """Start another controller, with the same state."""
        state = f"sqlite:{self.folder / 'state.db'}"
        return self._start("controller", **{"state_url": state, "lost_after_s": 8, **more})

    def sqlite_sink(self) -> Service:
        """Start another replica."""
        return self._start("sqlite_sink", sqlite_path=self.events_db)

    def csv_sink(self) -> Service:
        """Start another replica."""
        return self._start("csv_sink", csv_dir=self.parts)

    def postgres_sink(self, dsn: str) -> Service:
        """Start another replica."""
        return self._start("postgres_sink", postgres_dsn=dsn)

    def _start(self, name: str, **variables: object) -> Service:
        service = Service(name, **{"amqp_url": self._url, **variables})
        return self._stack.enter_context(service).wait_healthy()


@contextmanager
def lab(amqp_url: str, folder: Path, boards: Sequence[str]) -> Iterator[Lab]:
    """A lab without any service yet; the services started in it end with the context."""
    with ExitStack() as stack:
        yield Lab(stack, amqp_url, folder, boards)


def results(client: BrokerClient) -> list[EndedMessage]:
    """The end of each run so far that is its task-set's result, once each."""
    ended = {message.run.run_id: message for message in client.all_of(EndedMessage)}
    return [message for message in ended.values() if message.outcome.is_result]


def stored_runs(path: Path) -> list[Run]:
    """The runs of a database, in the order of their variants."""
    reader = SqliteReader(path)
    try:
        return sorted(reader.runs(), key=lambda run: (run.variant, run.attempt))
    finally:
        reader.close()
