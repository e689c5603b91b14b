"""From stored events to results: what a paper rests on."""

from taskgen.results.frames import Results, load

__all__ = ["Results", "load"]
