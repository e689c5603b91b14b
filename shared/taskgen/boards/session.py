"""The interface between the distributor and one target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

from taskgen.boards.address import Address
from taskgen.boards.limits import Limits
from taskgen.boards.profile import Rejected, are_valid_events, read_profile
from taskgen.errors import ProfileError
from taskgen.taskset import Profile, TaskSet


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Timeouts of a session in seconds, and what it may send and receive."""

    connect_timeout_s: float = 5.0
    """For establishing the connection."""
    frame_timeout_s: float = 10.0
    """For the rest of a frame after its size."""
    answer_timeout_s: float = 10.0
    """For the answer to a command, including a preceding CLEAR, which takes a board 0.5 to 2 s."""
    probe_timeout_s: float = 3.0
    """For the first AVAILABLE; a board that does not answer it may be an older one, which never does."""
    silence_timeout_s: float = 40.0
    """The board is lost after this long without a profile during a run."""
    binaries: Path | None = None
    """Folder of the tasks' binaries; None: send none, because the boards hold them already."""
    limits: Limits = field(default_factory=Limits)
    """Limits on frames."""


SESSION_DEFAULTS: Final = SessionSettings()


class AbstractSession(ABC):
    """One connection to one target; derive from this for another kind of target than the Taskloader.

    The distributor calls the class with an address and settings, and uses the session within one asyncio
    loop, one method at a time: `connect`; for each run `start`, `receive` until the run is over, `stop`,
    `receive` until it returns nothing; finally `close`. Any method may be cancelled, and the next `receive`
    continues where a cancelled one stopped. `decode` is the exception: it is called in another thread.

    All methods may raise:
        BoardLostError: the target is gone, silent or too late; `BoardSilentError` if it is only silent.
        BoardProtocolError: the target sent what the protocol does not allow.
    """

    def __init__(self, address: Address, settings: SessionSettings) -> None:
        self.address = address
        """The target's host and port."""
        self.settings = settings
        """Timeouts, limits and the folder of binaries."""
        self.unsolicited: list[bytes] = []
        """Frames received outside of a run; the distributor takes them out."""

    @classmethod
    def check(cls, *session_params: Any) -> None:
        """Check the arguments of `start` before any target is touched.

        Raises:
            TaskSetError: a target could not use them.
        """

    @abstractmethod
    async def connect(self) -> None:
        """Connect to the target, and make sure that it responds."""

    def refusal(self, taskset: TaskSet) -> str:
        """Return why this target could not run a task-set, in one sentence; empty if it could.

        A task-set that is refused is not attempted again.

        Args:
            taskset: without open choices, validated.
        """
        return ""

    @abstractmethod
    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        """Hand over the task-set and start it.

        Args:
            taskset: without open choices, validated.
            session_params: the arguments of `Distributor.start`; for the Taskloader, the admission control
                data.
        """

    @property
    def asleep_s(self) -> float:
        """How much longer the target may be silent because of the last command, without being lost."""
        return 0.0

    @abstractmethod
    async def receive(self, timeout_s: float | None) -> list[bytes]:
        """Wait for frames and return at least one; `decode` reads them.

        After `stop`, an empty list means, once, that this run will send nothing more.

        Args:
            timeout_s: how long the target may stay silent; None: indefinitely.
        """

    def decode(self, frame: bytes) -> tuple[Profile, list[Rejected]]:
        """Turn one frame into the dictionary that handlers get, and whatever in it is not an event.

        It is called in the handlers' thread, so it must depend only on its argument and on `settings`. By
        default a frame is a `<profile>` document. Override this for targets that send anything else, and
        build the result with `taskgen.boards.profile.profile_of`.

        Raises:
            ProfileError: the frame holds no events; it is quarantined.
        """
        return read_profile(frame, self.settings.limits)

    @final
    def decode_checked(self, frame: bytes) -> tuple[Profile, list[Rejected]]:
        """Call `decode`; turn the faults of an overriding method into a `ProfileError` that names it."""
        if type(self).decode is AbstractSession.decode:
            return self.decode(frame)
        name = f"{type(self).__name__}.decode"
        try:
            profile, rejected = self.decode(frame)
        except ProfileError:
            raise
        except Exception as error:  # a session may be a user's own
            raise ProfileError(f"{name} raised {type(error).__name__}: {error}") from error
        if not are_valid_events(profile):
            raise ProfileError(f"{name} returned invalid events; build them with profile_of")
        return profile, rejected

    @abstractmethod
    async def stop(self, *, is_finished: bool) -> None:
        """End the tasks; the caller then receives what they still report.

        Args:
            is_finished: every task has terminated, so there is nothing left to report.
        """

    @abstractmethod
    async def reboot(self) -> None:
        """Restart the target; the session cannot be used afterwards."""

    @abstractmethod
    async def close(self) -> None:
        """Release the target."""

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
