"""Ctrl-C and SIGTERM while something long is on: the first asks for an end, the second is one."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Final, Self

EXIT_CODE: Final = 130
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While the context is open, one of the signals sets `is_asked`; another ends the process at once."""

    def __init__(self) -> None:
        self.is_asked = False

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_asked:
            os.write(2, b"\ntaskgen: ended at once; what was not stored yet is lost\n")
            os._exit(EXIT_CODE)
        self.is_asked = True
