"""Results as pandas DataFrames: `taskgen.results.load`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from taskgen.errors import SettingsError
from taskgen.events.tables import COLUMNS_OF
from taskgen.metrics import JobRow
from taskgen.results.dataset import Dataset, RunResult, open_dataset

if TYPE_CHECKING:
    import pandas as pd


COLUMNS: Final = {
    "runs": (
        "run_id",
        "taskset_id",
        "campaign_id",
        "board",
        "attempt",
        "variant",
        "started_at",
        "ended_at",
        "outcome",
        "reason",
        "events",
        "is_complete",
        "is_counted",
    ),
    "tasks": COLUMNS_OF["tasks"],
    "variants": ("taskset_id", "campaign_id", "source", "variant"),
    "campaigns": COLUMNS_OF["campaigns"],
}
"""The columns that there always are; runs and variants can have more."""
_TYPES: Final = {"run_id": "object", "exit_type": "object", "release_ms": "UInt64", "end_ms": "UInt64"}
"""The types of the columns of jobs that are not Int64: a board's clock has up to 64 bits."""


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
        SettingsError: pandas is not installed, there is no such campaign, a condition is not one, or no run
            has what it says.
        StoreError: there is no such store.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for DataFrames, install taskgen-events[analysis]") from error
    with open_dataset(store, campaign, where) as dataset:
        variants = {one.variant.taskset_id: variant_row(one) for one in dataset.runs}
        return Results(
            jobs=_jobs(pd, dataset),
            runs=_frame(pd, "runs", [run_row(one) for one in dataset.runs]),
            tasks=_frame(pd, "tasks", task_rows(dataset)),
            variants=_frame(pd, "variants", list(variants.values())),
            campaigns=_frame(pd, "campaigns", [asdict(campaign) for campaign in dataset.campaigns]),
        )


def _jobs(pd: Any, dataset: Dataset) -> pd.DataFrame:  # noqa: ANN401 - the module, which is imported late
    """Whole numbers that may be missing stay whole numbers, and exact: none is a float on its way."""
    rows = [row for one in dataset.complete for row in dataset.jobs(one)]
    columns = dict(zip(JobRow._fields, zip(*rows, strict=True), strict=True)) if rows else {}
    return pd.DataFrame(
        {name: pd.array(columns.get(name, ()), dtype=_TYPES.get(name, "Int64")) for name in JobRow._fields}
    )


def _frame(pd: Any, what: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:  # noqa: ANN401 - as above
    """A frame that has its columns also if it has no rows."""
    names = dict.fromkeys([*COLUMNS[what], *(name for row in rows for name in row)])
    return pd.DataFrame({name: _column(pd, [row.get(name) for row in rows]) for name in names})


def _column(pd: Any, values: Sequence[Any]) -> Any:  # noqa: ANN401 - as above
    """Values as a column; whole numbers of which some are missing stay whole numbers."""
    known = [value for value in values if value is not None]
    if not known:
        return pd.Series(values, dtype=object)
    if len(known) < len(values) and set(map(type, known)) == {int}:
        least, most = min(known), max(known)
        if least >= -(2**63) and most < 2**63:
            return pd.array(values, dtype="Int64")
        if least >= 0 and most < 2**64:
            return pd.array(values, dtype="UInt64")
        return pd.Series(values, dtype=object)
    return pd.Series(values)


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
