"""Rows of a controller's state."""

from taskgen.run import new_id, now
from taskgen.state.state import RunRow


def run_row(**more: object) -> RunRow:
    """A run of its own, with these fields."""
    fields = {
        "run_id": new_id(),
        "taskset_id": new_id(),
        "campaign_id": "campaign",
        "board": "127.0.10.1:3001",
        "distributor": "d",
        "attempt": 1,
        "variant": 2**40,
        "started_at": now(),
    }
    return RunRow(**fields | more)  # type: ignore[arg-type]
