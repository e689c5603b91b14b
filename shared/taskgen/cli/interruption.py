"""Ctrl-C and SIGTERM during a long command: the first asks it to end, the second ends it at once."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Final, Self

EXIT_CODE: Final = 130
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While the context is open, the first signal is only noted; a second one ends the process."""

    def __init__(self) -> None:
        self.signal: str | None = None
        """The name of the signal that came, such as `SIGTERM`."""

    @property
    def is_asked(self) -> bool:
        """Whether the user or the system wants this command to end."""
        return self.signal is not None

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self.is_asked:
            os.write(2, b"\ntaskgen: ended at once; whatever was not stored yet is lost\n")
            os._exit(EXIT_CODE)
        self.signal = signal.Signals(number).name
