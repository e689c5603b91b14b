"""A distributor whose every word is the test's own, to see what a controller makes of it."""

from __future__ import annotations

from taskgen.amqp.topology import EVENTS, TASKSETS
from taskgen.execution.board import BoardState
from taskgen.messages.codec import (
    BoardReport,
    DecisionMessage,
    EndedMessage,
    EventsMessage,
    ProfileOfRun,
    RunHead,
    StartedMessage,
    StatusMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.run import Outcome, new_id, now
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import Wire
from tests.support.waiting import wait_until

TWO_JOBS = TaskSet([Task(pkg="hey", period=10, numberofjobs=2)])
BOARD = "127.0.10.1:3001"


class StandIn:
    """Speaks as the distributor of some boards."""

    def __init__(self, wire: Wire, name: str = "stand-in") -> None:
        self.wire = wire
        self.name = name

    def take(self) -> TaskSetMessage:
        """A task-set from the queue."""
        found: list[TaskSetMessage] = []

        def is_taken() -> bool:
            body = self.wire.take(TASKSETS)
            if body is not None:
                message = read_message(body)
                assert isinstance(message, TaskSetMessage)
                found.append(message)
            return bool(found)

        wait_until(is_taken, 30, "a task-set in the queue")
        return found[0]

    def start(self, message: TaskSetMessage, board: str = BOARD) -> RunHead:
        """A run of it begins."""
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
        self._say(f"started.{board}", StartedMessage(run=run, taskset=message))
        return run

    def tell(self, run: RunHead, first_seq: int, *types: str) -> None:
        """Events of its first task."""
        found = [
            {"@type": kind, "@task-id": "0", "@time-stamp": str(10 * seq)}
            for seq, kind in enumerate(types, first_seq)
        ]
        profile = {"profile": {"events": {"event": found}}}
        part = ProfileOfRun(first_seq=first_seq, received_at=now(), profile=profile)
        self._say(f"events.{run.board}", EventsMessage(run=run, profiles=[part]))

    def end(self, run: RunHead, outcome: Outcome, events: int = 0, reason: str = "") -> None:
        """The run is over."""
        what = "finished" if outcome is Outcome.FINISHED else "stopped"
        self._say(
            f"{what}.{run.board}",
            EndedMessage(run=run, ended_at=now(), outcome=outcome, events=events, reason=reason),
        )

    def status(self, *running: RunHead, outbox: int = 0) -> None:
        """These runs are on."""
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
        self._say(f"status.{self.name}", StatusMessage(distributor=self.name, boards=boards, outbox=outbox))

    def decisions(self, board: str = BOARD) -> list[DecisionMessage]:
        """What the board was told since the last time; it has to be served."""
        found = []
        while (body := self.wire.take(f"taskgen.board.{board}")) is not None:
            message = read_message(body)
            assert isinstance(message, DecisionMessage)
            found.append(message)
        return found

    def wait_decision(self, board: str = BOARD) -> DecisionMessage:
        """The next thing that the board is told."""
        found: list[DecisionMessage] = []

        def is_told() -> bool:
            found.extend(self.decisions(board))
            return bool(found)

        wait_until(is_told, 30, "a decision")
        assert len({message.run_id for message in found}) == 1
        return found[0]

    def serve(self, board: str = BOARD) -> None:
        """Hold a board's lease."""
        self.wire.serve(board)

    def _say(self, key: str, message: StartedMessage | EventsMessage | EndedMessage | StatusMessage) -> None:
        self.wire.publish(EVENTS, key, message.body())
