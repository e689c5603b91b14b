"""`python -m tests.bench`: all benchmarks; no test, as machines differ.

`--smoke` does a little of each, and fails only where less than half of an aim is reached.
"""

import argparse
import sys

from tests.bench import event_path, jobs_view, latency, many_boards, reaction, services, startup, throughput
from tests.bench.results import Results


def main() -> None:
    """Measure, print, and write docs/performance.md unless it is a smoke test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    is_smoke = parser.parse_args().smoke
    rounds = 1 if is_smoke else parser.parse_args().rounds
    total = 100_000 if is_smoke else 1_000_000
    results = Results()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}")
        throughput.measure(results)
        services.measure(results, total)
        services.measure_whole_lab(results, total)
        reaction.measure(results, 50 if is_smoke else 200)
        startup.measure(results)
        jobs_view.measure(results)
    if is_smoke:
        if too_slow := results.under_half():
            sys.exit(f"less than half of an aim: {'; '.join(too_slow)}")
        return
    results.write()
    latency.report()
    many_boards.report()
    event_path.report()


if __name__ == "__main__":
    main()
