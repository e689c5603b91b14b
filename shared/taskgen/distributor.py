"""`Distributor`, the entry point of the library: runs task-sets on boards and passes events to handlers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from taskgen.boards.address import DEFAULT_PORT, parse_addresses
from taskgen.boards.binaries import binaries_folder, check_binaries
from taskgen.boards.limits import Limits
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
from taskgen.provenance import campaign_facts
from taskgen.retry_policy import RetryOn, RetryPolicy
from taskgen.taskset import TaskSet
from taskgen.untrusted_text import brief

Handlers = AbstractEventHandler | Sequence[AbstractEventHandler]


class Distributor:
    """Runs task-sets on boards, one at a time per board, and passes what they report to handlers.

    It has two threads of its own: one for all boards, and one in which the handlers are called.

    Args:
        boards: `"172.25.1.2"`, `"board-7:3001"`, a range `"127.0.10.0/28"`, or several of these.
        event_handler: one handler or several. The first decides when a run is over; the others observe. If
            none of them stores data that is not events, it is written to `taskgen-quarantine.jsonl`.
        port: port of boards given without one.
        binaries: folder of the tasks' binaries; None: the boards have them already.
        max_attempts: give up on a variant after this many runs without a result.
        retry_on: names of `RetryOn`, such as `["EXIT_ERROR", "TOO_FEW_JOBS"]`: a run that ends so is a
            `board_error` and has no result.
        connect_timeout_s: for connecting to a board.
        frame_timeout_s: for the rest of a frame after its size.
        answer_timeout_s: for a board's answer to a command, in addition to the offsets it may sleep through.
        probe_timeout_s: for finding out whether a board is a newer one, which answers AVAILABLE.
        silence_timeout_s: consider a board lost after this long without a profile during a run.
        run_timeout_s: for a whole run; None: no limit.
        longest_pause_s: a lost board is retried with exponential back-off up to this pause.
        power_cycle_command: command line for a board that was reachable before and stays lost; `{host}`,
            `{port}` and `{board}` are filled in.
        power_on_command: the same for a board that was never reachable.
        power_off_command: the same for every board, once the distributor is closed.
        power_after_s: how long a board has to be lost before the command is run.
        limits: on the size and structure of frames, and on how much of what is not events is kept.
        session: session class of the kind of target.

    Raises:
        AddressError: a board's address is not valid.
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
        retry_on: str | Iterable[str] = (),
        connect_timeout_s: float = SESSION_DEFAULTS.connect_timeout_s,
        frame_timeout_s: float = SESSION_DEFAULTS.frame_timeout_s,
        answer_timeout_s: float = SESSION_DEFAULTS.answer_timeout_s,
        probe_timeout_s: float = SESSION_DEFAULTS.probe_timeout_s,
        silence_timeout_s: float = SESSION_DEFAULTS.silence_timeout_s,
        run_timeout_s: float | None = BOARD_DEFAULTS.run_timeout_s,
        longest_pause_s: float = BOARD_DEFAULTS.longest_pause_s,
        power_cycle_command: str | None = None,
        power_on_command: str | None = None,
        power_off_command: str | None = None,
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
            retry_on=RetryOn.read(retry_on),
            power=PowerCommands(power_cycle_command, power_on_command, power_after_s, off=power_off_command),
        )
        self._is_closed = False
        self._engine: Engine | None = None
        self._campaign: Campaign | None = None

    @property
    def event_handler(self) -> Handlers:
        """The handler or handlers; a new value takes effect at the next `start`."""
        return self._event_handler

    @event_handler.setter
    def event_handler(self, handler: Handlers) -> None:
        is_one = isinstance(handler, AbstractEventHandler) or not isinstance(handler, Iterable)
        handlers: list[Any] = [handler] if is_one else [*handler]  # type: ignore[misc]
        for one in handlers:
            if not isinstance(one, AbstractEventHandler):
                raise DistributorError(
                    f"{one!r} is not an event handler; give an object of a class derived from "
                    "taskgen.event.DefaultEventHandler"
                )
        if not handlers:
            raise DistributorError("give at least one event handler")
        self._event_handler = handler if isinstance(handler, AbstractEventHandler) else handlers

    @property
    def boards(self) -> list[BoardStatus]:
        """The state of each board."""
        return self._engine.boards() if self._engine else []

    @property
    def counters(self) -> Counters:
        """Counts of received data."""
        return self._engine.dispatcher.counters if self._engine else Counters()

    @property
    def handler_failures(self) -> dict[str, int]:
        """Number of failures of each kind in handlers."""
        return dict(self._engine.dispatcher.handlers.failures) if self._engine else {}

    def start(
        self,
        taskset: TaskSet | Iterable[TaskSet],
        *session_params: Any,
        wait: bool = True,
        name: str = "",
        note: str = "",
    ) -> Campaign:
        """Run all variants of a task-set, or of several, each on whichever board is free.

        Args:
            taskset: one task-set or several, with or without open choices. The task-sets of a list or tuple
                are checked before any board is touched. Those of a generator (or another iterable) are drawn
                as boards become free, from the second on in the boards' thread: the first run starts at once,
                and memory does not grow with their number. One that cannot be run is listed in
                `Campaign.failed`, and the others are run.
            session_params: passed to the session; for the Taskloader, the admission control dictionary.
            wait: wait until everything is done; otherwise return at once.
            name: of the campaign, by which reports find it.
            note: stored with it.

        Returns:
            The campaign, with the results of its variants.

        Raises:
            TaskSetError: a task-set cannot be run as it is; no board was touched.
            SettingsError: there are more boards than files that this process may open.
            DistributorError: the last campaign is still in progress, or the distributor is closed.
        """
        if self._campaign is not None and not self._campaign.is_done:
            raise DistributorError("a campaign is still in progress; call wait_finished() or stop() first")
        self._settings.session_class.check(*session_params)
        facts = campaign_facts(name, note)
        campaign = Campaign(self._checked(taskset), session_params, self._retry_policy, self._check, facts)
        engine = self._running_engine()
        engine.begin(campaign, self._handlers())
        self._campaign = campaign
        if wait:
            self.wait_finished()
        return campaign

    def stop(self, wait: bool = True) -> None:
        """Stop the runs in progress and cancel the variants that have not begun; `start` may follow.

        Args:
            wait: wait until the boards have stopped and everything is stored.
        """
        if self._engine is not None:
            self._engine.stop()
            if wait:
                self.wait_stopped()

    def close(self, wait: bool = True) -> None:
        """Stop, and disconnect from the boards; the distributor cannot be used afterwards.

        Args:
            wait: wait until that is done.
        """
        self._is_closed = True
        if self._engine is not None:
            self._engine.close()
            if wait:
                self.wait_closed()

    def wait_finished(self, timeout_s: float | None = None) -> bool:
        """Wait until the campaign is done and stored; return False if the time is up before."""
        return self._engine is None or self._engine.wait_done(timeout_s)

    def wait_stopped(self, timeout_s: float | None = None) -> bool:
        """Wait until no run is in progress and all is stored; return False if the time is up before."""
        return self.wait_finished(timeout_s)

    def wait_closed(self, timeout_s: float | None = None) -> bool:
        """Wait until the boards are disconnected; return False if the time is up before."""
        return self._engine is None or self._engine.wait_closed(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, given: TaskSet | Iterable[TaskSet]) -> Iterable[TaskSet]:
        """Check a task-set or all of a sequence; of any other iterable, draw and check the first one."""
        if isinstance(given, TaskSet | Mapping | str) or not isinstance(given, Iterable):
            return [self._check(given)]
        if isinstance(given, Sequence):
            tasksets = [self._check(one) for one in given]
        else:
            checked = map(self._check, _drawn(given))
            tasksets = list(islice(checked, 1))
        if not tasksets:
            raise TaskSetError("no task-set given")
        return tasksets if isinstance(given, Sequence) else chain(tasksets, checked)

    def _check(self, taskset: object) -> TaskSet:
        if not isinstance(taskset, TaskSet):
            raise TaskSetError(
                f"{brief(repr(taskset))} is not a task-set; give TaskSet([task, ...]), or several of them; "
                "taskgen.loading.taskset_files.read_taskset reads a file"
            )
        checked = taskset.checked()
        check_binaries(checked, self._folder)
        return checked

    def _handlers(self) -> list[AbstractEventHandler]:
        """Return the handlers, plus one that keeps invalid data if none of them does."""
        given = self._event_handler
        handlers = [given] if isinstance(given, AbstractEventHandler) else list(given)
        return handlers if keeps_quarantine(handlers) else [*handlers, QuarantineFile()]

    def _running_engine(self) -> Engine:
        if self._is_closed:
            raise DistributorError("the distributor is closed; create a new one")
        if self._engine is None:
            self._engine = Engine(self._addresses, self._settings)
        return self._engine


def _drawn(tasksets: Iterable[TaskSet]) -> Iterator[TaskSet]:
    """Yield a user's task-sets; whatever their generator raises becomes a `TaskSetError`."""
    try:
        yield from tasksets
    except Exception as error:  # a user's generator may raise anything
        raise TaskSetError(f"no more task-sets could be drawn: {error!r}") from error


def _check_times(**times_s: float | None) -> None:
    for name, time_s in times_s.items():
        if time_s is not None and not (isinstance(time_s, int | float) and time_s > 0):
            raise SettingsError(f"{name} has to be more than 0 seconds, not {time_s!r}")
