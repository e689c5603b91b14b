"""Benchmarks, run by `python -m tests.bench`: ratios within one run, so that machines can be compared."""
