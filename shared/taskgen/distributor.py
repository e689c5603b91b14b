"""Boards, their availability, and task-sets run on them: the users' way into everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from taskgen.boards.address import parse_addresses
from taskgen.boards.binaries import binaries_folder, check_binaries
from taskgen.boards.limits import Limits
from taskgen.boards.protocol import DEFAULT_PORT
from taskgen.boards.session import SESSION_DEFAULTS, AbstractSession, SessionSettings
from taskgen.boards.taskloader import TaskloaderSession
from taskgen.errors import DistributorError, SettingsError, TaskSetError
from taskgen.event import AbstractEventHandler, DefaultEventHandler
from taskgen.events.quarantine import QuarantineFile, keeps_quarantine
from taskgen.execution.board import BOARD_DEFAULTS, BoardSettings
from taskgen.execution.campaign import Campaign
from taskgen.execution.dispatcher import Counters
from taskgen.execution.engine import BoardStatus, Engine
from taskgen.execution.power import PowerCommands
from taskgen.retry_policy import RetryPolicy
from taskgen.taskset import TaskSet

Handlers = AbstractEventHandler | Sequence[AbstractEventHandler]


class Distributor:
    """Runs task-sets on boards, one run a board at a time, and gives what they report to handlers.

    Everything happens in two threads of its own: one for all boards, one in which the handlers are called.

    Args:
        boards: `"172.25.1.2"`, `"board-7:3001"`, a range `"127.0.10.0/28"`, or several of them.
        event_handler: one handler or several; the first decides when a run is over, the others watch. What
            a board sends and is no event goes to `taskgen-quarantine.jsonl` if none of them stores it.
        port: of boards that are given without one.
        binaries: folder of the tasks' binaries; None: the boards hold them already.
        max_attempts: so many boards may be lost under a variant before it is given up as bad.
        connect_timeout_s: for reaching a board.
        frame_timeout_s: for the rest of a frame once its size was read.
        answer_timeout_s: for a board's answer to a command, on top of the offsets that it may sleep through.
        probe_timeout_s: for finding out whether a board is one of the newer ones, which answer AVAILABLE.
        silence_timeout_s: a board that sends no profile for so long while a run is on is taken for lost.
        run_timeout_s: for a whole run; None: no limit.
        longest_pause_s: a lost board is asked again after pauses that grow up to this.
        power_cycle_command: command line for a board that was there and stays lost; may hold `{host}`,
            `{port}`, `{board}`.
        power_on_command: the same for a board that was never there.
        power_after_s: how long a board has to be lost for that.
        limits: what a frame may be at most, and how much of what is no event is kept.
        session: the kind of target.

    Raises:
        AddressError: a board's address cannot be understood.
        SettingsError: another argument is wrong.
    """

    def __init__(
        self,
        boards: str | Iterable[str],
        *,
        event_handler: Handlers | None = None,
        port: int = DEFAULT_PORT,
        binaries: str | Path | None = None,
        max_attempts: int = RetryPolicy().max_attempts,
        connect_timeout_s: float = SESSION_DEFAULTS.connect_timeout_s,
        frame_timeout_s: float = SESSION_DEFAULTS.frame_timeout_s,
        answer_timeout_s: float = SESSION_DEFAULTS.answer_timeout_s,
        probe_timeout_s: float = SESSION_DEFAULTS.probe_timeout_s,
        silence_timeout_s: float = SESSION_DEFAULTS.silence_timeout_s,
        run_timeout_s: float | None = BOARD_DEFAULTS.run_timeout_s,
        longest_pause_s: float = BOARD_DEFAULTS.longest_pause_s,
        power_cycle_command: str | None = None,
        power_on_command: str | None = None,
        power_after_s: float = BOARD_DEFAULTS.power.after_s,
        limits: Limits | None = None,
        session: type[AbstractSession] = TaskloaderSession,
    ) -> None:
        _check_times(
            connect_timeout_s=connect_timeout_s,
            frame_timeout_s=frame_timeout_s,
            answer_timeout_s=answer_timeout_s,
            probe_timeout_s=probe_timeout_s,
            silence_timeout_s=silence_timeout_s,
            run_timeout_s=run_timeout_s,
            longest_pause_s=longest_pause_s,
            power_after_s=power_after_s,
        )
        self._retry_policy = RetryPolicy(max_attempts)
        self.event_handler = DefaultEventHandler() if event_handler is None else event_handler
        self._addresses = parse_addresses(boards, port)
        self._folder = binaries_folder(binaries)
        self._settings = BoardSettings(
            session=SessionSettings(
                connect_timeout_s=connect_timeout_s,
                frame_timeout_s=frame_timeout_s,
                answer_timeout_s=answer_timeout_s,
                probe_timeout_s=probe_timeout_s,
                silence_timeout_s=silence_timeout_s,
                binaries=self._folder,
                limits=limits or Limits(),
            ),
            session_class=session,
            run_timeout_s=run_timeout_s,
            longest_pause_s=longest_pause_s,
            power=PowerCommands(power_cycle_command, power_on_command, power_after_s),
        )
        self._is_closed = False
        self._engine: Engine | None = None
        self._campaign: Campaign | None = None

    @property
    def event_handler(self) -> Handlers:
        """The handler, or the handlers; a new one counts from the next `start` on."""
        return self._event_handler

    @event_handler.setter
    def event_handler(self, handler: Handlers) -> None:
        handlers = _several(handler, AbstractEventHandler)
        for one in handlers:
            if not isinstance(one, AbstractEventHandler):
                raise DistributorError(
                    f"{one!r} is no event handler; give an object of a class derived from "
                    "taskgen.event.DefaultEventHandler"
                )
        if not handlers:
            raise DistributorError("give at least one event handler")
        self._event_handler = handler if isinstance(handler, AbstractEventHandler) else handlers

    @property
    def boards(self) -> list[BoardStatus]:
        """What each board is doing now."""
        return self._engine.boards() if self._engine else []

    @property
    def counters(self) -> Counters:
        """What has been received so far."""
        return self._engine.dispatcher.counters if self._engine else Counters()

    @property
    def handler_failures(self) -> dict[str, int]:
        """What handlers raised, and how often."""
        return dict(self._engine.dispatcher.handlers.failures) if self._engine else {}

    def start(
        self, taskset: TaskSet | Iterable[TaskSet], *session_params: Any, wait: bool = True
    ) -> Campaign:
        """Run all variants of a task-set, or of several, each on whichever board is free.

        Args:
            taskset: with or without open choices.
            session_params: for the session; for the Taskloader, the admission control dictionary.
            wait: return when all is done; otherwise at once.

        Returns:
            The campaign, which tells what has become of the variants.

        Raises:
            TaskSetError: it cannot be run as it is; no board was touched.
            SettingsError: there are more boards than this process may have open files.
            DistributorError: the last campaign is still going on, or the distributor is closed.
        """
        if self._campaign is not None and not self._campaign.is_done:
            raise DistributorError("a campaign is still going on: wait_finished() or stop() comes first")
        tasksets = _several(taskset, TaskSet)
        if not tasksets:
            raise TaskSetError("no task-set given")
        for one in tasksets:
            if not isinstance(one, TaskSet):
                raise TaskSetError(
                    f"{type(one).__name__} is no task-set; give TaskSet([task, ...]), or several of them; "
                    "taskgen.loading.taskset_files.read_taskset reads a file"
                )
        self._settings.session_class.check(*session_params)
        checked = [self._check(one) for one in tasksets]
        campaign = Campaign(checked, session_params, self._retry_policy, self._check)
        engine = self._running_engine()
        engine.begin(campaign, self._handlers())
        self._campaign = campaign
        if wait:
            self.wait_finished()
        return campaign

    def stop(self, wait: bool = True) -> None:
        """End what runs, call off what has not begun; `start` may follow.

        Args:
            wait: return when the boards have stopped and everything is stored.
        """
        if self._engine is not None:
            self._engine.stop()
            if wait:
                self.wait_stopped()

    def close(self, wait: bool = True) -> None:
        """Stop, and let go of the boards; nothing may follow.

        Args:
            wait: return when that is done.
        """
        self._is_closed = True
        if self._engine is not None:
            self._engine.close()
            if wait:
                self.wait_closed()

    def wait_finished(self, timeout_s: float | None = None) -> bool:
        """Wait until the campaign is done and stored; returns False if it is not within the time."""
        return self._engine is None or self._engine.wait_done(timeout_s)

    def wait_stopped(self, timeout_s: float | None = None) -> bool:
        """Wait until no run is on and everything is stored; returns False if it is not within the time."""
        return self.wait_finished(timeout_s)

    def wait_closed(self, timeout_s: float | None = None) -> bool:
        """Wait until the boards were let go of; returns False if they are not within the time."""
        return self._engine is None or self._engine.wait_closed(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, taskset: TaskSet) -> TaskSet:
        checked = taskset.checked()
        check_binaries(checked, self._folder)
        return checked

    def _handlers(self) -> list[AbstractEventHandler]:
        """The handlers, and one that keeps what is no event if none of them does."""
        given = self._event_handler
        handlers = [given] if isinstance(given, AbstractEventHandler) else list(given)
        return handlers if keeps_quarantine(handlers) else [*handlers, QuarantineFile()]

    def _running_engine(self) -> Engine:
        if self._is_closed:
            raise DistributorError("the distributor is closed; make a new one")
        if self._engine is None:
            self._engine = Engine(self._addresses, self._settings)
        return self._engine


def _several(given: Any, kind: type) -> list[Any]:  # noqa: ANN401 - users give what they like
    """One or several as a list; what is neither stands in it alone, for the caller to refuse."""
    is_one = isinstance(given, kind) or not isinstance(given, Iterable)
    return [given] if is_one else list(given)


def _check_times(**times_s: float | None) -> None:
    for name, time_s in times_s.items():
        if time_s is not None and not (isinstance(time_s, int | float) and time_s > 0):
            raise SettingsError(f"{name} has to be more than 0 seconds, not {time_s!r}")
