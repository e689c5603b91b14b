"""How long `taskgen --help` takes, against importing pydantic, without which nothing here works."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench.results import Results


def measure(results: Results) -> None:
    """Start both a few times; the fastest counts, as the machine may do other work."""
    ratio = _fastest_s("-m", "taskgen", "--help") / _fastest_s("-c", "import pydantic")
    results.add(ratio, "taskgen --help", "`import pydantic`", 2.0, unit="times", is_ratio=False)


def _fastest_s(*arguments: str) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return min(times)
