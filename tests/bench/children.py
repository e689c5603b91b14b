"""Child processes of the benchmarks: the boards, so that they share neither the GIL nor the memory."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def child(*arguments: str, lines: int = 1) -> Iterator[list[str]]:
    """Run `python -m` something; yields the first lines of its output; kills it afterwards."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            yield [process.stdout.readline().strip() for _ in range(lines)]
        finally:
            process.kill()
