"""Results as pandas DataFrames: `taskgen.results.load`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from taskgen.errors import SettingsError
from taskgen.metrics import JobRow
from taskgen.results.dataset import Dataset, RunResult, open_dataset

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a store; each frame has one row per item of its name.

    `run_id` joins `jobs`, `tasks` and `runs`, `taskset_id` joins `runs` and `variants`.
    """

    jobs: pd.DataFrame
    """The columns of docs/time.md, of the runs that are counted."""
    runs: pd.DataFrame
    """All runs, and what handlers recorded, as `result.NAME`.

    `is_complete`: the run has ended and everything of it is stored. `is_counted`: it is also a result of its
    variant, not an attempt that a fault of the lab ended; reports and `jobs` are over these runs.
    """
    tasks: pd.DataFrame
    """The parameters of each run's tasks."""
    variants: pd.DataFrame
    """With a column for each parameter that varies, such as `task1.priority`."""
    campaigns: pd.DataFrame
    """Name, note and provenance."""


def load(store: str, campaign: str = "", where: Iterable[str] = ()) -> Results:
    """Load results into memory.

    Args:
        store: `sqlite:PATH`, `csv:PATH`, `postgresql://...`, or the path of a SQLite or CSV file.
        campaign: name or id of a campaign; empty: all.
        where: conditions such as `task1.priority=5` or `outcome=finished`.

    Raises:
        SettingsError: pandas is not installed, there is no such campaign, or a condition is not one.
        StoreError: there is no such store.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for DataFrames, install taskgen-events[analysis]") from error
    with open_dataset(store, campaign, where) as dataset:
        jobs = [row for one in dataset.complete for row in dataset.jobs(one)]
        variants = {one.variant.taskset_id: variant_row(one) for one in dataset.runs}
        return Results(
            jobs=_typed(pd.DataFrame(jobs, columns=list(JobRow._fields))),
            runs=pd.DataFrame([run_row(one) for one in dataset.runs]),
            tasks=pd.DataFrame(task_rows(dataset)),
            variants=pd.DataFrame(list(variants.values())),
            campaigns=pd.DataFrame([asdict(campaign) for campaign in dataset.campaigns]),
        )


def _typed(jobs: pd.DataFrame) -> pd.DataFrame:
    """Keep whole numbers as integers, even if some are missing."""
    numbers = [name for name in jobs.columns if name not in ("run_id", "exit_type", "release_ms", "end_ms")]
    return jobs.astype(dict.fromkeys(numbers, "Int64") | dict.fromkeys(("release_ms", "end_ms"), "UInt64"))


def run_row(one: RunResult) -> dict[str, Any]:
    """The row of a run."""
    run = one.run
    return {
        "run_id": run.run_id,
        "taskset_id": run.taskset_id,
        "campaign_id": one.variant.campaign_id,
        "board": run.board,
        "attempt": run.attempt,
        "variant": run.variant,
        "started_at": run.started_at,
        "ended_at": run.ended_at or None,
        "outcome": run.outcome and run.outcome.value,
        "reason": run.reason,
        "events": run.events,
        "is_complete": one.is_complete,
        "is_counted": one.is_counted,
        **{f"result.{name}": value for name, value in one.results.items()},
    }


def variant_row(one: RunResult) -> dict[str, Any]:
    """The row of a run's variant."""
    variant = one.variant
    return {
        "taskset_id": variant.taskset_id,
        "campaign_id": variant.campaign_id,
        "source": variant.source,
        "variant": variant.variant,
        **variant.parameters,
    }


def task_rows(dataset: Dataset) -> list[dict[str, Any]]:
    """The rows of all tasks."""
    return [
        {"run_id": one.run.run_id, "task_id": task["id"], **{k: v for k, v in task.items() if k != "id"}}
        for one in dataset.runs
        for task in one.tasks
    ]
