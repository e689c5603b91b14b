"""Evaluates stored events: the results for a paper."""

from taskgen.results.frames import Results, load

__all__ = ["Results", "load"]
