"""`python -m tests.bench.traced FOLDER MODULE`: run a service and list what it calls between two signals.

SIGUSR1 begins a recording; SIGUSR2 ends it and writes `FOLDER/<module>.json`.
"""

import json
import runpy
import signal
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_ROOT = Path(__file__).parents[2]
_OURS = (str(_ROOT / "shared"), str(_ROOT / "services"))


class Recorder:
    """The functions of this project that were called, in the order of their first call."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._is_recording = False
        self._called: dict[CodeType, None] = {}
        signal.signal(signal.SIGUSR1, self.begin)
        signal.signal(signal.SIGUSR2, self.end)

    def profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Note a call; the interpreter calls this itself."""
        if self._is_recording and event == "call":
            self._called.setdefault(frame.f_code)

    def begin(self, *_: object) -> None:
        """Forget what was recorded before."""
        self._called.clear()
        self._is_recording = True

    def end(self, *_: object) -> None:
        """Write what was called; comprehensions and lambdas belong to the function around them."""
        self._is_recording = False
        calls = [
            (str(Path(code.co_filename).relative_to(_ROOT)), code.co_qualname)
            for code in list(self._called)
            if code.co_filename.startswith(_OURS) and not code.co_name.startswith("<")
        ]
        unfinished = self._file.with_suffix(".part")
        unfinished.write_text(json.dumps(calls))
        unfinished.rename(self._file)


if __name__ == "__main__":
    folder, module = sys.argv[1:3]
    sys.argv = [module]
    recorder = Recorder(Path(folder) / f"{module}.json")
    threading.setprofile(recorder.profile)
    sys.setprofile(recorder.profile)
    runpy.run_module(module, run_name="__main__")
