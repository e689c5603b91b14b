"""`python -m tests.bench`: all benchmarks; no test, as machines differ.

`--smoke` does a little of each, and fails only where less than half of an aim is reached.
`--only growth,peers` measures these groups and prints them; docs/performance.md is written if all groups that
are measured in rounds are among them.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Final

from tests.bench import (
    event_path,
    growth,
    jobs_view,
    latency,
    many_boards,
    peers,
    reaction,
    scaling,
    services,
    startup,
    throughput,
)
from tests.bench.results import Results

_EVENTS: Final = 1_000_000
_SMOKE_EVENTS: Final = 100_000
_GROUPS: Final[dict[str, Callable[[Results, bool], None]]] = {
    "throughput": lambda results, _: throughput.measure(results),
    "services": lambda results, is_smoke: services.measure(results, _SMOKE_EVENTS if is_smoke else _EVENTS),
    "lab": lambda results, is_smoke: services.measure_whole_lab(
        results, _SMOKE_EVENTS if is_smoke else _EVENTS
    ),
    "reaction": lambda results, is_smoke: reaction.measure(results, 50 if is_smoke else 200),
    "startup": lambda results, _: startup.measure(results),
    "jobs": lambda results, _: jobs_view.measure(results),
}
_LONG_GROUPS: Final[dict[str, Callable[[Results], None]]] = {
    "growth": lambda results: growth.measure(results, 10 * _EVENTS),
    "scaling": lambda results: scaling.measure(results, _EVENTS),
    "peers": lambda results: peers.measure(results, 5_000),
}
"""Measured once, after the rounds of the others."""


def main() -> None:
    """Measure, print, and write docs/performance.md unless it is a smoke test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="GROUP,...")
    given = parser.parse_args()
    only = set(given.only.split(",")) if given.only else {*_GROUPS, *_LONG_GROUPS}
    rounds = 1 if given.smoke else given.rounds
    results = Results()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}")
        for name, measure in _GROUPS.items():
            if name in only:
                measure(results, given.smoke)
    if given.smoke:
        if too_slow := results.under_half():
            sys.exit(f"less than half of an aim: {'; '.join(too_slow)}")
        return
    for name, measure_once in _LONG_GROUPS.items():
        if name in only:
            measure_once(results)
    if not set(_GROUPS) <= only:
        return
    results.write()
    if given.only:
        return
    latency.report()
    many_boards.report()
    event_path.report()


if __name__ == "__main__":
    main()
