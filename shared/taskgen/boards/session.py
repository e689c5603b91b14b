"""The conversation with one target, as the distributor needs it."""

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
    """What a session may wait for, in seconds, and what it may take."""

    connect_timeout_s: float = 5.0
    """For establishing the connection."""
    frame_timeout_s: float = 10.0
    """For the rest of a frame once its size was read."""
    answer_timeout_s: float = 10.0
    """For the answer to a command. A CLEAR before it takes a board 0.5 to 2 s."""
    probe_timeout_s: float = 3.0
    """For the first AVAILABLE: a board that lets it pass may be an older one, which never answers it."""
    silence_timeout_s: float = 40.0
    """Watchdog: without a profile for so long while a run is on, the board is taken for lost."""
    binaries: Path | None = None
    """Folder of the tasks' binaries; None: the boards hold them already, and none is sent."""
    limits: Limits = field(default_factory=Limits)
    """What a frame may be at most."""


SESSION_DEFAULTS: Final = SessionSettings()


class AbstractSession(ABC):
    """One connection to one target; derive from this for another kind of target than the Taskloader.

    The distributor makes one by calling the class with an address and settings, and uses it within one
    asyncio loop, one method at a time: `connect`, then for each run `start`, `receive` until the run is
    over, `stop`, `receive` until it gives nothing more; at the end `close`. A method may be cancelled, and
    the next `receive` goes on where a cancelled one stood.

    All methods may raise:
        BoardLostError: the target is gone, silent or too late.
        BoardProtocolError: it sent what cannot be followed.
    """

    def __init__(self, address: Address, settings: SessionSettings) -> None:
        self.address = address
        """The target's host and port."""
        self.settings = settings
        """Timeouts, limits and the folder of binaries."""
        self.unsolicited: list[bytes] = []
        """Frames that came while no run of this session was on; the distributor takes them out."""

    @classmethod
    def check(cls, *session_params: Any) -> None:
        """Look at what `start` will be given, before any target is touched.

        Raises:
            TaskSetError: a target could not take it.
        """

    @abstractmethod
    async def connect(self) -> None:
        """Reach the target."""

    @abstractmethod
    async def start(self, taskset: TaskSet, *session_params: Any) -> None:
        """Hand over the task-set and start it.

        Args:
            taskset: without open choices, validated.
            session_params: what `Distributor.start` was given; for the Taskloader, the admission
                control data.
        """

    @property
    def asleep_s(self) -> float:
        """How much longer the target may say nothing because of what it was told to do, and not be lost."""
        return 0.0

    @abstractmethod
    async def receive(self, timeout_s: float | None) -> list[bytes]:
        """Wait for frames and return at least one; `decode` reads them.

        After `stop` an empty list says, once, that nothing more of this run will come.

        Args:
            timeout_s: how long the target may stay silent; None: indefinitely.
        """

    def decode(self, frame: bytes) -> tuple[Profile, list[Rejected]]:
        """Turn one frame into the dictionary that handlers get, and whatever in it is not an event.

        It is called in the handlers' thread, so it must depend on nothing but its argument and settings.
        By default a frame is a `<profile>` document. Override this for targets that send anything else, and
        build the result with `taskgen.boards.profile.profile_of`.

        Raises:
            ProfileError: the frame holds no events; it is quarantined.
        """
        return read_profile(frame, self.settings.limits)

    @final
    def decode_checked(self, frame: bytes) -> tuple[Profile, list[Rejected]]:
        """Call `decode`, and turn the faults of an overriding method into a `ProfileError` that names it."""
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
        """End the tasks; what they report because of it is still to be received.

        Args:
            is_finished: every task is terminated, so that none has anything to report.
        """

    @abstractmethod
    async def reboot(self) -> None:
        """Start the target anew; the session is of no use afterwards."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the target."""

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
