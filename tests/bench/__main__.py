"""`python -m tests.bench`: all benchmarks; no test, as machines differ."""

from tests.bench import latency, many_boards, throughput

throughput.report()
latency.report()
many_boards.report()
