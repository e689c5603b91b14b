"""A distributor without boards: the test decides what it reports, to see what a controller makes of it."""

from __future__ import annotations

from taskgen.amqp.topology import EVENTS, TASKSETS
from taskgen.event_columns import ProfileOfRun
from taskgen.execution.board import BoardState
from taskgen.messages.codec import (
    BoardReport,
    DecisionMessage,
    EndedMessage,
    EventsMessage,
    RunHead,
    StartedMessage,
    StatusMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.run import Outcome, new_id, now
from tests.support.broker_client import BrokerClient
from tests.support.message_factory import BOARD, routing_key
from tests.support.profiles import parsed_profile
from tests.support.waiting import wait_until


class FakeDistributor:
    """Publishes what a distributor of that name would, and receives what its boards are sent."""

    def __init__(self, client: BrokerClient, name: str = "fake-distributor") -> None:
        self.client = client
        self.name = name

    def take(self) -> TaskSetMessage:
        """Take the next task-set from the queue."""
        found: list[TaskSetMessage] = []

        def is_taken() -> bool:
            body = self.client.take(TASKSETS)
            if body is not None:
                message = read_message(body)
                assert isinstance(message, TaskSetMessage)
                found.append(message)
            return bool(found)

        wait_until(is_taken, 30, "a task-set in the queue")
        return found[0]

    def start(self, message: TaskSetMessage, board: str = BOARD) -> RunHead:
        """Report that a run of it has started."""
        run = RunHead(
            run_id=new_id(),
            taskset_id=message.taskset_id,
            campaign_id=message.campaign_id,
            board=board,
            attempt=message.attempt,
            variant=message.variant,
            started_at=now(),
            distributor=self.name,
        )
        self._publish(StartedMessage(run=run, taskset=message))
        return run

    def report(self, run: RunHead, first_seq: int, *types: str) -> None:
        """Report events of its first task."""
        profile = parsed_profile(*((kind, 0, 10 * seq) for seq, kind in enumerate(types, first_seq)))
        part = ProfileOfRun(first_seq, now(), profile)
        self._publish(EventsMessage.of(run, [part]))

    def end(self, run: RunHead, outcome: Outcome, events: int = 0, reason: str = "") -> None:
        """Report that the run has ended."""
        self._publish(EndedMessage(run=run, ended_at=now(), outcome=outcome, events=events, reason=reason))

    def status(self, *running: RunHead, outbox: int = 0) -> None:
        """Report that these runs are going on, and no others."""
        boards = [
            BoardReport(
                name=run.board,
                state=BoardState.RUNNING,
                since=run.started_at,
                run_id=run.run_id,
                taskset_id=run.taskset_id,
            )
            for run in running
        ]
        message = StatusMessage(distributor=self.name, boards=boards, outbox=outbox)
        self.client.publish(EVENTS, f"status.{self.name}", message.body())

    def decisions(self, board: str = BOARD) -> list[DecisionMessage]:
        """The decisions that a board was sent since the last call; needs its lease."""
        found = []
        while (body := self.client.take(f"taskgen.board.{board}")) is not None:
            message = read_message(body)
            assert isinstance(message, DecisionMessage)
            found.append(message)
        return found

    def wait_for_decision(self, board: str = BOARD) -> DecisionMessage:
        """Wait for the next decision that a board is sent; all that have come are about one run."""
        found: list[DecisionMessage] = []

        def has_come() -> bool:
            found.extend(self.decisions(board))
            return bool(found)

        wait_until(has_come, 30, "a decision")
        assert len({message.run_id for message in found}) == 1
        return found[0]

    def hold_lease(self, board: str = BOARD) -> None:
        """Hold a board's lease, so that decisions about its runs are received."""
        self.client.hold_lease(board)

    def _publish(self, message: StartedMessage | EventsMessage | EndedMessage) -> None:
        self.client.publish(EVENTS, routing_key(message), message.body())
